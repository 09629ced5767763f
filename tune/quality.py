"""Measures a trial by what ``favchat evaluate`` asks: at its reports on a few clips, at its end on all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from favchat.config import Config, ConfigError
from tune.goal import evaluation_of

EVALUATION = "evaluation"
"""In a trial's folder: the evaluation of its model, which ``favchat compare`` takes."""


def check_quality(config: Config, metric: str) -> None:
    """See before a sweep starts that its trials can be measured.

    Args:
        config: The sweep's configuration.
        metric: ``TASK/WAY/PART/METRIC``.

    Raises:
        ConfigError: There will be no such metric, or nothing to ask about; the message says what there is.
    """
    from favchat.evaluation.named_metric import check_metric

    try:
        check_metric(evaluation_of(config, metric, clips=config.tune.rung_clips), metric)
    except ConfigError as error:
        raise ConfigError(f"tune.metric = {error}") from error


@dataclass(frozen=True)
class RungMetric:
    """Measures a model that is being trained, on the same few held-out clips in every trial."""

    config: Config
    metric: str

    def __call__(self, model: Any, processor: Any) -> dict[str, float]:
        """The metric by its name; the model is in evaluation mode."""
        # Where trials train: what starts the sweep needs none of it.
        from favchat.evaluation.named_metric import metric_in_memory

        config = evaluation_of(self.config, self.metric, clips=self.config.tune.rung_clips)
        return {self.metric: metric_in_memory(config, self.metric, model, processor)}


def final_metric(config: Config, metric: str, folder: Path) -> float:
    """The metric of a trained trial; what an earlier call has asked is not asked again.

    Args:
        config: The trial's configuration.
        metric: ``TASK/WAY/PART/METRIC``.
        folder: The trial's, with its ``model``.

    Raises:
        ConfigError: The evaluation has no such metric, or nothing to ask about.
    """
    from favchat.evaluation.evaluate import evaluate
    from favchat.evaluation.named_metric import named_metric
    from favchat.evaluation.reporting.report import write_report

    config = evaluation_of(config, metric, clips=None)
    places = {"model": str(folder / "model"), "out": str(folder / EVALUATION)}
    config = config.model_copy(update={"evaluation": config.evaluation.model_copy(update=places)})
    found = evaluate(config)
    write_report(found, config)
    return named_metric({one.task.name: one.results for one in found.tasks}, metric).value
