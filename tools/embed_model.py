"""Take what a model learnt, adapter and LoRA, into the package, as what ``asset:favchat-nano`` puts on its backbones.

    python tools/embed_model.py RUN/model nano [--further]

With --further the training began from ``asset:favchat-nano`` (`training.init`), whose language model has the package's
low-rank updates in its weights: the training's updates are added to these, in the preset's rank. What the training left
as it was stays in the package to the bit, card and calibration too.

Otherwise the model's card goes along; add to it what it cannot know (limits, whose faces, licences of the data).
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from favchat.config import LoraConfig
from favchat.config import load as load_config
from favchat.face_scores.values import CALIBRATION
from favchat.hub.load import load
from favchat.hub.names import SHIPPED
from favchat.hub.shipped_model import ADAPTER, CARD, is_learnt
from favchat.model.build import build
from favchat.model.lora import without_lora
from jobs.commands.settings import CONFIGS


def main() -> None:
    """Check that nothing else was trained, and write them in half precision."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("model", type=Path, help="a finished training's model directory")
    parser.add_argument("preset", help="the preset that it was trained with, or a YAML file")
    parser.add_argument("--further", action="store_true", help="the training began from the package's model")
    arguments = parser.parse_args()
    preset = CONFIGS / f"{arguments.preset}.yaml"
    settings = load_config(preset if preset.is_file() else Path(arguments.preset)).model
    trained, processor = load(str(arguments.model))
    began, _ = load(SHIPPED) if arguments.further else build(settings)
    old = began.state_dict()
    moved = [
        name
        for name, value in without_lora(trained.state_dict()).items()
        if not is_learnt(name) and not torch.equal(value, old[name].to(value.dtype))
    ]
    if moved:
        raise SystemExit(f"{len(moved)} tensors beside adapter and LoRA are not the preset's, such as {moved[0]}")
    tensors = {name: value for name, value in trained.state_dict().items() if is_learnt(name)}
    if arguments.further:
        with safe_open(ADAPTER, framework="pt") as file:
            about = file.metadata()
        save(added(load_file(ADAPTER), tensors, settings.lora), about)
        return
    about = {"model": json.dumps(settings.model_dump(mode="json")), "clip": json.dumps(processor.video_processor.clip)}
    calibration = arguments.model / CALIBRATION
    if calibration.is_file():
        about["calibration"] = calibration.read_text()
    save(tensors, about)
    shutil.copyfile(arguments.model / "README.md", CARD)


def save(tensors: Mapping[str, Tensor], about: dict[str, str]) -> None:
    """Write them into the package in half precision, and say how large they are."""
    halves = {name: value.half().contiguous() for name, value in tensors.items()}
    save_file(halves, ADAPTER, metadata=about)
    ADAPTER.chmod(0o644)
    print(f"{ADAPTER}: {ADAPTER.stat().st_size / 1e6:.1f} MB, {sum(v.numel() for v in halves.values()) / 1e6:.2f} M")


def added(old: Mapping[str, Tensor], new: Mapping[str, Tensor], lora: LoraConfig) -> dict[str, Tensor]:
    """The package's tensors with what a training that began from them changed.

    The sum of two low-rank updates has twice their rank: it is cut to the preset's by its singular values, and how much
    that leaves out is printed.
    """
    found, left_out = {}, []
    for name, value in old.items():
        if name not in new:  # nothing of the language model was trained
            found[name] = value
        elif ".lora_A." in name:
            other = name.replace(".lora_A.", ".lora_B.")
            update = old[other].float() @ value.float() + new[other].float() @ new[name].float()
            left, sizes, right = torch.linalg.svd(update, full_matrices=False)
            roots = sizes[: lora.rank].sqrt()
            found[name], found[other] = roots.unsqueeze(1) * right[: lora.rank], left[:, : lora.rank] * roots
            left_out.append((sizes[lora.rank :].norm() / sizes.norm()).item())
        elif ".lora_" not in name:
            # A model is trained and saved in lower precision: what only lost by that was not trained.
            same = torch.allclose(value.float(), new[name].float(), rtol=2**-7, atol=1e-6)
            found[name] = value if same else new[name]
    if left_out:
        print(f"of the summed updates {max(left_out):.1%} at most is left out, by norm")
    return found


if __name__ == "__main__":
    main()
