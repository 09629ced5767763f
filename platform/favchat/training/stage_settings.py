"""Settings on which a stage's weights depend, for the checks on resuming and for the table of a sweep."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from favchat.config import Config, StageConfig
from favchat.data.annotate.settings import corpus_annotation_settings
from favchat.io.paths import absolute, path_of
from favchat.io.settings_record import settings_of

SETTINGS = "settings.json"
"""In a stage's folder: the settings that decide what it learns."""
FREE = {"deepspeed", "accumulate", "gradient_checkpointing", "validate_every"}
"""Settings of a stage that may change while it is interrupted: they change how its steps are computed, not which."""


def stage_settings(config: Config, stage: StageConfig, init: str | None, weights: str | None) -> dict[str, Any]:
    """Dotted key -> value of every setting on which a stage's weights depend.

    Args:
        config: The configuration.
        stage: The stage.
        init: Model or checkpoint that it starts from, by a name that does not depend on the run's folder.
        weights: Fingerprint of those weights, unless they are an earlier stage's.
    """
    return (
        common_settings(config)
        | one_stage(stage, {"init", *FREE})
        | {
            "training.split": config.training.split,
            f"training.stages[{stage.name}].init": init,
            f"weights of training.stages[{stage.name}].init": weights,
        }
    )


def stage_defaults(stage: StageConfig) -> dict[str, Any]:
    """Values of settings that records of earlier versions lack."""
    plain = Config()
    return stage_settings(plain, StageConfig(name=stage.name, task=stage.task), None, None)


def common_settings(config: Config) -> dict[str, Any]:
    """Settings that all stages share: seed, model, corpus and its annotations."""
    corpus = config.data.out
    kept = corpus_annotation_settings(path_of(corpus)) if corpus else {}
    out = absolute(corpus) if corpus else None
    return {"seed": config.seed, "data.out": out} | settings_of(config.model, "model.") | kept


def one_stage(stage: StageConfig, exclude: Collection[str] = ()) -> dict[str, Any]:
    """A stage's own settings, keyed by its name instead of its position, which may change."""
    return settings_of(stage, f"training.stages[{stage.name}].", exclude)
