"""Exports a trained model: merges LoRA, converts precision, writes a folder for a hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch
from huggingface_hub import ModelCard
from transformers import PreTrainedModel

from favchat import __version__
from favchat.config import ConfigError, ModelConfig
from favchat.face_scores.values import CALIBRATION
from favchat.hub.names import resolve_model
from favchat.model.lora import has_lora, merge_lora
from favchat.training.model_card import NEEDS, card_data
from favchat.training.stage.checkpoints import RECORD
from favchat.training.stage.starting_model import starting_model

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

CARD = "README.md"

GIT_ATTRIBUTES = """*.safetensors filter=lfs diff=lfs merge=lfs -text
tokenizer.json filter=lfs diff=lfs merge=lfs -text
"""
"""Which files of a hub's repository are kept beside git's history."""

HUB_SHARD = "5GB"
"""Largest weights file in a hub's folder."""


def export(
    source: str,
    out: str | Path,
    *,
    to: Literal["model", "hub-folder"] = "model",
    merge: bool = False,
    precision: Literal["fp32", "fp16", "bf16"] | None = None,
) -> Path:
    """Write a model as a `from_pretrained` directory.

    Args:
        source: A model directory, a hub name, ``models:/NAME@ALIAS``, or a checkpoint of a stage.
        out: The directory; it must be empty or not exist.
        to: ``hub-folder``: what `push_to_hub` would upload, with weights in shards of at most 5 GB and
            ``.gitattributes``, and a card that says what is needed to load it.
        merge: Whether LoRA updates are merged into the base weights; otherwise they are saved separately.
        precision: Of the weights; by default unchanged.

    Returns:
        `out`.

    Raises:
        ConfigError: There is no model, or `out` is not empty.
        OSError: `out` cannot be written.
    """
    place = Path(out).absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(f"{out}: something lies there already; choose another directory or delete it")
    source = str(Path(source).absolute()) if (Path(source) / RECORD).is_file() else resolve_model(source)
    # The model section is needed for neither: a saved model has its own config, and a checkpoint records its section.
    model, processor = starting_model(ModelConfig(), 0, source)
    if merge:
        merge_lora(model)
    if precision:
        model = model.to(PRECISIONS[precision])
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as partial:
        hub = to == "hub-folder"
        # With save_original_format transformers would save the weights under peft's names where LoRA was loaded.
        model.save_pretrained(partial, save_original_format=False, **({"max_shard_size": HUB_SHARD} if hub else {}))
        processor.save_pretrained(partial)
        if Path(source, CALIBRATION).is_file():
            shutil.copyfile(Path(source, CALIBRATION), Path(partial, CALIBRATION))
        card = Path(source, CARD)
        text = card.read_text() if card.is_file() else short_card(model)
        Path(partial, CARD).write_text(hub_card(text) if hub else text)
        if hub:
            Path(partial, ".gitattributes").write_text(GIT_ATTRIBUTES)
        place.mkdir(exist_ok=True)
        for file in Path(partial).iterdir():
            shutil.move(file, place / file.name)
    return place


def hub_card(text: str) -> str:
    """A card as a hub needs it: with true front matter, and with what the model needs to be loaded."""
    card = ModelCard(text)
    own = card_data()
    for name in ("library_name", "pipeline_tag"):
        card.data[name] = own[name]
    if NEEDS not in card.text:
        card.text = f"{card.text.rstrip()}\n\n## To load it\n\n{NEEDS}\n"
    return str(card)


def short_card(model: PreTrainedModel) -> str:
    """Model card for a model without one, such as a checkpoint."""
    front = card_data()
    config = model.config
    adapter = config.adapter_config
    parts = [config.text_config.model_type]
    parts += [config.vision_config.model_type] if adapter.vision_grid else []
    parts += [config.face_config.model_type] if adapter.face_grid else []
    lora = " Low-rank updates of the language model lie beside the weights." if has_lora(model) else ""
    return f"""---
{front.to_yaml()}
---

# A FaVChat model

{", ".join(parts)}
with {adapter.num_experts} experts, top-{adapter.num_experts_per_tok}; written by FaVChat {__version__}.{lora}

{NEEDS}

Nothing is known here about its data and its quality. Do not identify people with it, and do not decide about people
by it.
"""
