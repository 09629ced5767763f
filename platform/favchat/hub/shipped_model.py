"""The trained model in the package: its trained weights, a few megabytes, combined with the embedded backbones."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from favchat.backbones import assets
from favchat.config import ModelConfig

ADAPTER = Path(__file__).parent.parent / "weights" / "favchat_nano.safetensors"
"""The adapter's tensors and the low-rank updates in half precision, named as in the model; the file's metadata has the
``model`` section as JSON under ``model``, the clip specification under ``clip`` and the calibration of the attributes
under ``calibration``."""
CARD = ADAPTER.with_suffix(".md")


def is_learnt(name: str) -> bool:
    """Whether a tensor of the model is one of the trained ones in the package."""
    return name.startswith("model.adapter.") or ".lora_" in name


def path() -> Path:
    """The whole model as a `from_pretrained` directory in the user's cache, made on its first use.

    Safe when several processes start at once: one does the work, the others wait for it.

    Raises:
        AssetError: A backbone cannot be fetched.
    """
    digest = hashlib.sha256(ADAPTER.read_bytes() + CARD.read_bytes() + version("transformers").encode())
    folder = assets.home() / "models" / f"favchat-nano-{digest.hexdigest()[:12]}"
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise assets.AssetError(
                f"cannot write to {folder.parent} ({error}); set FAVCHAT_HOME to a folder that you may write to"
            ) from error
        with FileLock(folder.parent / "favchat-nano.lock"):
            if not folder.exists():
                _make(folder)
    return folder


def _make(folder: Path) -> None:
    # Torch and transformers take seconds to import, and most callers only need the name.
    import torch
    from safetensors import safe_open

    from favchat.face_scores.values import CALIBRATION
    from favchat.model.build import build
    from favchat.model.lora import add_lora, merge_lora
    from favchat.video.specification import ClipSpecification

    with safe_open(ADAPTER, framework="pt") as file:
        about = file.metadata()
        settings = ModelConfig(**json.loads(about["model"]))
        tensors = {name: file.get_tensor(name).to(torch.float32) for name in file.keys()}  # noqa: SIM118 - no mapping
    model, processor = build(settings)
    if any(".lora_" in name for name in tensors):
        add_lora(model, settings.lora)
    names = {name for name in model.state_dict() if is_learnt(name)}
    if names != tensors.keys():
        raise RuntimeError(f"{ADAPTER}: its tensors are not those of its model, such as {min(names ^ tensors.keys())}")
    model.load_state_dict(tensors, strict=False)
    merge_lora(model)
    # Only the lock's holder writes here: leftovers are from a process that died.
    partial = folder.parent / ".favchat-nano.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    if "clip" in about:
        processor.clip_specification = ClipSpecification.from_dict(json.loads(about["clip"]))
    processor.save_pretrained(partial)
    if "calibration" in about:
        (partial / CALIBRATION).write_text(about["calibration"])
    shutil.copyfile(CARD, partial / "README.md")
    os.replace(partial, folder)
