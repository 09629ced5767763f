"""Trainable parameters, optimiser and precision of a stage."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from favchat.config.section import Place, Section

MODEL_PARTS = ("adapter", "vision_model", "face_model", "language_model", "lora")

OWN_DEEPSPEED_KEYS = {
    "optimizer": "learning_rate, weight_decay",
    "scheduler": "schedule, warmup",
    "train_batch_size": "batch_size",
    "train_micro_batch_size_per_gpu": "batch_size, accumulate",
    "gradient_accumulation_steps": "accumulate",
    "gradient_clipping": "max_grad_norm",
}
"""Keys of DeepSpeed's configuration that the stage's own settings decide, and which those are."""


class OptimisationConfig(Section):
    """Trainable parameters, learning rates, length and precision of a stage."""

    init: Place | None = None
    """Where the stage starts: a model directory, a hub name, ``models:/NAME@ALIAS``, ``asset:favchat-nano``, or a
    checkpoint (``stages/NAME/checkpoints/step-...``); by default the end of the stage before."""
    trainable: list[str] = ["adapter"]
    """Modules that learn: ``adapter``, ``vision_model``, ``face_model``, ``language_model``, or modules inside one of
    them, such as ``language_model.layers.29`` or ``language_model.layers.2[0-9].mlp``; ``lora`` for low-rank updates of
    the language model."""
    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; null: as many as ``epochs`` take."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the samples, where ``steps`` is null."""
    accumulate: int = Field(default=1, ge=1)
    """Parts into which each worker splits its share of a batch; their gradients are added up. Takes less memory."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the learning rate."""
    learning_rates: dict[str, float] = {}
    """Other peaks for parts of what learns, by module name such as ``vision_model``; the longest name that fits counts.
    ``lora`` stands for the low-rank matrices."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate falls after its linear warm-up."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps that warm up."""
    final_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of the peak to which ``cosine`` and ``linear`` fall."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay; vectors (norms, biases) are not decayed."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``bf16``: matrix products in bfloat16 (torch autocast), what rests is kept in bfloat16, what learns in float32.
    ``auto``: that on GPUs that have it, else ``fp32``."""
    gradient_checkpointing: bool = False
    """Whether the language model's layers run a second time in the backward pass instead of keeping their
    activations."""
    validate_every: int | None = Field(default=None, ge=1)
    """Steps between validations; null: ``training.reports`` of them, evenly over the stage. One comes at its end."""
    deepspeed: dict[str, Any] = {"zero_optimization": {"stage": 0}}
    """Handed to DeepSpeed as it is; batch size, clipping and optimiser come from the keys above."""

    @field_validator("trainable")
    @classmethod
    def _parts_exist(cls, names: list[str]) -> list[str]:
        for name in names:
            if re.split(r"[.\[*?]", name)[0] not in MODEL_PARTS:
                raise ValueError(f"'{name}' is no part of the model; its parts are {', '.join(MODEL_PARTS)}")
        return names

    @field_validator("learning_rates")
    @classmethod
    def _rates_have_parts(cls, rates: dict[str, float]) -> dict[str, float]:
        for name, rate in rates.items():
            if name.split(".")[0] not in MODEL_PARTS:
                raise ValueError(f"'{name}' is no part of the model; its parts are {', '.join(MODEL_PARTS)}")
            if rate <= 0:
                raise ValueError(f"the rate of '{name}' must be more than 0")
        return rates

    @model_validator(mode="after")
    def _deepspeed_leaves_ours_alone(self) -> OptimisationConfig:
        for key in self.deepspeed:
            if key in OWN_DEEPSPEED_KEYS:
                raise ValueError(f"deepspeed.{key} comes from the stage's {OWN_DEEPSPEED_KEYS[key]}; set those instead")
        return self
