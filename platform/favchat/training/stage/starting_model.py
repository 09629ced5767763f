"""Initial model of a stage: newly built, trained before, or restored from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from favchat.config import Config, ModelConfig, StageConfig
from favchat.hub.load import load, load_encoders
from favchat.hub.names import resolve_model
from favchat.model import FaVChatConfig, FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.build import ADAPTER_NAMES, build, build_encoders, build_processor
from favchat.model.encoders_alone import FaVChatEncoders
from favchat.model.lora import add_lora, has_lora
from favchat.training.features.fingerprint import ENCODERS
from favchat.training.stage.checkpoints import RECORD, load_weights, read_record
from favchat.training.stage.optimizer import LORA, set_trainable


def starting_model(
    model: ModelConfig, seed: int, init: str | None
) -> tuple[FaVChatForConditionalGeneration, FaVChatProcessor]:
    """Build or load the model that a stage starts from, on the CPU.

    Args:
        model: The ``model`` section, used when a model is built.
        seed: Of its random weights.
        init: A model directory, a hub name, or a checkpoint, whose record names its own initial model; None: build.

    Raises:
        ConfigError: A model or backbone cannot be loaded.
        CheckpointError: The checkpoint cannot be read.
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
    if settings.get("frames") is not None:
        processor.num_frames = settings["frames"]
    return made, processor


def starting_encoders(model: ModelConfig, seed: int, init: str | None) -> tuple[FaVChatEncoders, FaVChatProcessor]:
    """Build or load only the encoders of the model that `starting_model` would return.

    Arguments and errors as there.
    """
    if init is None:
        return build_encoders(model, seed)
    if not (Path(init) / RECORD).is_file():
        return load_encoders(init)
    settings = read_record(Path(init)).settings
    made, processor = starting_encoders(ModelConfig(**settings["model"]), settings["seed"], settings["init"])
    load_weights(made, Path(init), below="model.", only=ENCODERS)
    if settings.get("frames") is not None:
        processor.num_frames = settings["frames"]
    return made, processor


def starting_processor(model: ModelConfig, init: str | None, frames: int | None = None) -> FaVChatProcessor:
    """Build or load the processor of the model that a stage starts from, without the model.

    Args:
        model: As for `starting_model`.
        init: As for `starting_model`.
        frames: Frames per clip, where the stage sets them.

    Raises:
        ConfigError: It cannot be loaded.
        CheckpointError: The checkpoint cannot be read.
    """
    if init is None:
        processor = build_processor(model)
    elif (Path(init) / RECORD).is_file():
        settings = read_record(Path(init)).settings
        processor = starting_processor(ModelConfig(**settings["model"]), settings["init"], settings.get("frames"))
    else:
        processor = FaVChatProcessor.from_pretrained(resolve_model(init))
    if frames is not None:
        processor.num_frames = frames
    return processor


def unused_settings(model: ModelConfig, init: str) -> list[str]:
    """Adapter settings that were given but have no effect, because the trained model has other values.

    Args:
        model: The ``model`` section.
        init: A model directory.

    Returns:
        For each its key, its value, and the model's value.
    """
    trained = FaVChatConfig.from_pretrained(init)
    given = model.adapter.model_dump(include=model.adapter.model_fields_set - {"face_levels"})
    found = trained.adapter_config.to_dict() | {"mirror_faces": trained.mirror_faces}
    return [
        f"model.adapter.{name} = {value} (the model's is {has})"
        for name, value in given.items()
        if (has := found[ADAPTER_NAMES.get(name, name)]) != value
    ]


def set_learning(model: FaVChatForConditionalGeneration, section: ModelConfig, trainable: list[str], seed: int) -> None:
    """Freeze a model except for the modules that a stage trains; adds LoRA where the stage trains it and there is none.

    Raises:
        ConfigError: The model has no such part.
    """
    if LORA in trainable and not has_lora(model):
        torch.manual_seed(seed)  # all workers must start from the same LoRA matrices
        add_lora(model, section.lora)
    set_trainable(model, trainable)


def saved_settings(config: Config, stage: StageConfig, init: str | None) -> dict[str, Any]:
    """Settings in a checkpoint's record from which its model can be rebuilt."""
    return {
        "init": init,
        "model": config.model.model_dump(mode="json"),
        "seed": config.seed,
        "trainable": stage.trainable,
        "frames": stage.frames,
    }
