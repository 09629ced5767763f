"""Where a stage starts: a model that is built, a trained one, or a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from favchat.config import Config, ModelConfig, StageConfig
from favchat.model import FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.build import build, load
from favchat.model.lora import add_lora, has_lora
from favchat.training.checkpoints import RECORD, load_weights, read_record
from favchat.training.optimisation import LORA, set_trainable


def starting_model(
    model: ModelConfig, seed: int, init: str | None
) -> tuple[FaVChatForConditionalGeneration, FaVChatProcessor]:
    """Make the model that a stage starts from, on the CPU.

    Args:
        model: The ``model`` section, for a model that is built.
        seed: Of its random weights.
        init: A model directory, a hub name, or a checkpoint, which knows what it started from itself; None: build.

    Raises:
        ConfigError: A model or backbone cannot be loaded.
        CheckpointFault: The checkpoint cannot be read.
    """
    if init is None:
        return build(model, seed)
    if not (Path(init) / RECORD).is_file():
        return load(init)
    settings = read_record(Path(init)).settings
    section = ModelConfig(**settings["model"])
    made, processor = starting_model(section, settings["seed"], settings["init"])
    set_learning(made, section, settings["trainable"], settings["seed"])
    load_weights(made, Path(init))
    return made, processor


def set_learning(model: FaVChatForConditionalGeneration, section: ModelConfig, trainable: list[str], seed: int) -> None:
    """Freeze a model but for what a stage trains; where that is LoRA and the model has none, it gets it.

    Raises:
        ConfigError: The model has no such part.
    """
    if LORA in trainable and not has_lora(model):
        torch.manual_seed(seed)  # every worker must start from the same matrices
        add_lora(model, section.lora)
    set_trainable(model, trainable)


def saved_settings(config: Config, stage: StageConfig, init: str | None) -> dict[str, Any]:
    """What a checkpoint says about where its weights belong."""
    return {
        "init": init,
        "model": config.model.model_dump(mode="json"),
        "seed": config.seed,
        "trainable": stage.trainable,
    }
