"""The model card of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import ModelCardData

from favchat import __version__
from favchat.config import BackboneConfig, Config, SamplesConfig, StageConfig
from favchat.runtime.code_revision import git_revision

NEEDS = """It needs the package `favchat`, whose classes are no part of transformers: install it, and import
`favchat.model` before `AutoModelForMultimodalLM`, `AutoProcessor` or `pipeline` load the model. Without that
transformers says that it does not recognize the model type `favchat`."""
"""What a stranger has to know first."""


def card_data() -> ModelCardData:
    """The front matter of a model's card."""
    return ModelCardData(
        # Not "transformers": a hub would then show how to load the model without this package.
        library_name="favchat",
        pipeline_tag="video-text-to-text",
        tags=["favchat", "video", "face", "mixture-of-experts"],
    )


def model_card(
    config: Config,
    stage: StageConfig,
    *,
    steps: int,
    samples: int,
    losses: tuple[float, float],
    metrics: Mapping[str, float],
    init: str | None,
) -> str:
    """Write the README.md of a stage's model: architecture, training data, metrics, usage.

    Args:
        config: The whole configuration.
        stage: The finished stage.
        steps: Number of optimiser steps.
        samples: Samples per epoch, over all parts of the mixture.
        losses: Mean training loss per token over the first and the last tenth of the steps.
        metrics: The last report.
        init: Model or checkpoint that the stage started from.
    """
    front = card_data()
    model, adapter = config.model, config.model.adapter
    rows = [
        ("language model", _backbone(model.text)),
        ("general encoder", _backbone(model.vision) if adapter.vision_grid else "none"),
        ("face encoder", _backbone(model.face) if adapter.face_grid else "none"),
        ("adapter", f"{adapter.num_layers} expert layer(s) of {adapter.num_experts} experts, top-{adapter.top_k}"),
        ("frames a clip", str(model.num_frames)),
    ]
    parts = "the parts above" if init is None else "an earlier stage or model, whose parts stay as they were there"
    held_out = f"{metrics['val_loss']:.4f}" if "val_loss" in metrics else "not measured"
    return f"""---
{front.to_yaml()}
---

# A FaVChat model

Answers questions about the face in a video. Trained with FaVChat {__version__}\
{f" at revision {revision}" if (revision := git_revision()) else ""}.

## Parts

| part | what |
|---|---|
{_table(rows)}

Where `training.init` or a stage's `init` named a model, its own parts count; config.json tells.

## Training

The last stage, `{stage.name}`, started from {parts}.

| setting | value |
|---|---|
{
        _table(
            [
                ("corpus", f"`{Path(config.data.out or '').name}`"),
                ("samples", _samples(stage, config.training.split)),
                *(("mixed in", f"{part.share:.0%}: {_samples(part, config.training.split)}") for part in stage.mix),
                ("samples an epoch", f"{samples:,}"),
                ("steps", f"{steps:,}"),
                ("a step", f"{stage.batch_size} samples" if stage.tokens is None else f"{stage.tokens:,} tokens"),
                ("what learns", ", ".join(f"`{name}`" for name in stage.trainable)),
                ("peak learning rate", f"{stage.learning_rate:g}"),
                ("schedule", stage.schedule),
                ("seed", str(config.seed)),
            ]
        )
    }

## Metrics

| metric | value |
|---|---|
{
        _table(
            [
                ("training loss a token, first tenth of the steps", f"{losses[0]:.4f}"),
                ("training loss a token, last tenth of the steps", f"{losses[1]:.4f}"),
                (f"loss a token on `{config.training.val_split}`", held_out),
            ]
        )
    }

A loss says little about answers: `favchat evaluate` measures those.

## Use

{NEEDS}

```python
import favchat.model  # registers the classes
from favchat.hub.load import load

model, processor = load("DIRECTORY OR HUB NAME")
```

or `favchat ask DIRECTORY VIDEO "What is the person's expression?"`.

## Limits

It describes what can be seen, as its training texts did, and can be wrong about every attribute, more often for faces
unlike those it was trained on. Do not identify people with it, and do not decide about people by it.
"""


def _backbone(slot: BackboneConfig) -> str:
    if slot.pretrained:
        # Only the directory's name: cards are published, local paths are private.
        return f"`{Path(slot.pretrained).name if Path(slot.pretrained).is_absolute() else slot.pretrained}`"
    return f"random weights, {(slot.config or {}).get('model_type')} layout"


def _samples(part: SamplesConfig, split: str) -> str:
    """Describe the annotations that a stage, or a part of its mixture, is trained on."""
    chosen = {True: "selected ones", False: "those not selected", None: "all"}[part.selected]
    families = f", families {', '.join(part.families)}" if part.families else ""
    return f"task {part.task}, split {part.split or split}, {chosen}{families}"


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in rows)
