"""Sweeps: which settings are tried, how they are chosen, and what is compared."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from favchat.config.section import Place, Section
from favchat.plugins import TASKS

NOT_SWEPT = ("data.", "tune.", "tracking.", "ray.", "serve.", "training.out", "training.reports", "evaluation.")
"""Beginnings of keys that say where a trial runs, or on what, and not what it learns."""


LOSSES = ("val_loss", "language_loss", "attribute_loss")
"""What training measures by itself, smaller being better."""
STEPS = re.compile(r"\.(steps|epochs|batch_size|tokens|packed|mix|task)\b")
"""Settings of a stage that decide how many steps it takes, or what it learns."""
MUTABLE = ("learning_rate", "learning_rates", "weight_decay", "max_grad_norm", "schedule", "warmup", "final_rate")
"""Settings of a stage that may change while it runs."""
MUTABLE_KEY = re.compile(rf"training\.stages\.(\*|\d+)\.({'|'.join(MUTABLE)})(\.|$)")


class DimensionConfig(Section):
    """What one setting may be in a sweep: ``choices``, or one of the ranges."""

    choices: list[Any] | None = Field(default=None, min_length=1)
    """Values; a plain list in place of the mapping means the same."""
    uniform: list[float] | None = Field(default=None, min_length=2, max_length=2)
    """Smallest and largest value, all between them equally likely."""
    log_uniform: list[float] | None = Field(default=None, min_length=2, max_length=2)
    """Smallest and largest value, whose logarithm is drawn evenly."""
    step: float | None = Field(default=None, gt=0)
    """Values of a range are multiples of it; whole numbers where it and the bounds are whole."""
    when: dict[str, list[Any]] = {}
    """Other swept settings and the values at which this one counts; elsewhere it stays what it is."""

    @model_validator(mode="after")
    def _one_kind(self) -> DimensionConfig:
        kinds = [name for name in ("choices", "uniform", "log_uniform") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError(f"give one of choices, uniform and log_uniform, not {' and '.join(kinds) or 'none'}")
        if self.choices is not None and self.step is not None:
            raise ValueError("step belongs to a range, not to choices")
        bounds = self.uniform or self.log_uniform
        if bounds and (bounds[0] >= bounds[1] or (self.log_uniform and bounds[0] <= 0)):
            raise ValueError(f"{bounds} is no range: the first must be smaller, and more than 0 for log_uniform")
        return self


class SchedulerConfig(Section):
    """Which trials go on, decided while they run."""

    name: Literal["asha", "hyperband", "median", "pbt"]
    """``asha`` stops the poorer ones at rungs; ``hyperband`` does so too, with rungs that begin later for some;
    ``median`` stops what is worse than the median of the others. ``pbt`` (population based training) stops none: the
    poorest ones go on from the weights of the best, with settings near those."""
    grace_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps of the whole curriculum before which no trial is judged; null: a quarter of them all."""
    interval_steps: int | None = Field(default=None, ge=1)
    """``pbt``: at least so many optimiser steps lie between two comparisons, which come at reports; null: as
    ``grace_steps``."""
    quantile: float = Field(default=0.25, gt=0, le=0.5)
    """``pbt``: which part of the trials takes over from as many of the best."""
    resample: float = Field(default=0.25, ge=0, le=1)
    """``pbt``: how likely a setting is drawn anew; else it moves by a fifth, or to a neighbouring choice."""
    reduction_factor: float = Field(default=3, gt=1)
    """``asha`` and ``hyperband``: of the trials that come to a rung one in so many goes on."""


class TuneConfig(Section):
    """A sweep over settings with Ray Tune."""

    out: Place | None = None
    """Folder of the sweep: ``trials/NAME/`` are its trainings, ``results.csv``, ``quality.png`` and ``best.yaml`` the
    result."""
    space: dict[str, DimensionConfig] = {}
    """Dotted keys of the configuration and what each may be; ``training.stages.*.learning_rate`` means that of all
    stages. Combinations that the configuration itself refuses are left out."""
    num_experts: list[int] | None = Field(default=None, min_length=1)
    """Short for ``model.adapter.num_experts`` in ``space``; with ``top_k`` and ``space`` empty: 2 and 4."""
    top_k: list[int] | None = Field(default=None, min_length=1)
    """Short for ``model.adapter.top_k`` in ``space``; where neither is there: 1 and 2."""
    seeds: int = Field(default=1, ge=1)
    """Trials of each combination: with ``seed``, ``seed`` + 1 and so on."""
    search: str = "grid"
    """``grid``: every combination once. ``random`` and ``optuna`` (its TPE sampler): ``num_samples`` of them. Any other
    searcher of Ray Tune by its name, such as ``hyperopt``, whose package must be there."""
    search_arguments: dict[str, Any] = {}
    """Arguments of that searcher."""
    num_samples: int = Field(default=8, ge=1)
    """Combinations that a search tries; not of ``grid``."""
    hours: float | None = Field(default=None, gt=0)
    """Wall time after which the sweep ends with what it has."""
    gpu_hours: float | None = Field(default=None, gt=0)
    """Hours of training, times the GPUs that trained, after which it does; those before an interruption count."""
    gpus_per_worker: float = Field(default=1, gt=0, le=1)
    """With ``training.use_gpu``: less than 1 lets several trials share a GPU, and its memory; with one worker each."""
    max_concurrent: int | None = Field(default=None, ge=1)
    """Trials that run at once; null: as many as the cluster has GPUs for, or CPUs beside the one for Ray Data."""
    max_failures: int = Field(default=1, ge=0)
    """How often a trial that failed is begun again, each time from its last checkpoint."""
    reports: int = Field(default=4, ge=1)
    """How often a stage of a trial reports, in place of ``training.reports``."""
    metric: str | None = None
    """What is compared. A loss: ``val_loss``, the mean on held-out clips (the default where the corpus has a
    ``training.val_split``), or that of the last steps, ``language_loss`` a token or ``attribute_loss`` a clip. Or any
    metric of ``favchat evaluate`` on that split as ``TASK/WAY/PART/METRIC``, such as
    ``celebv_hq_attributes/scores/all/uar``."""
    rung_clips: int = Field(default=32, ge=1)
    """A metric of ``favchat evaluate`` is measured at each report too, on so many clips of the split, always the same;
    at a trial's end on all that ``evaluation.max_clips`` allows."""
    objectives: list[Literal["metric", "active_parameters"]] = ["metric"]
    """What ``optuna`` searches by: both together look for the best trade-offs."""
    scheduler: SchedulerConfig | None = None
    """Stops poor trials early, or has them take over from good ones; null: every trial runs to its end."""

    @field_validator("space", mode="before")
    @classmethod
    def _lists_are_choices(cls, space: Any) -> Any:
        if not isinstance(space, dict):
            return space
        return {str(key): {"choices": value} if isinstance(value, list) else value for key, value in space.items()}

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, metric: str | None) -> str | None:
        if metric is None or metric in LOSSES:
            return metric
        parts = metric.split("/")
        if len(parts) != 4 or parts[1] not in ("likelihood", "text", "scores"):
            raise ValueError(
                f"'{metric}' is none of {', '.join(LOSSES)} and not TASK/WAY/PART/METRIC with a way of likelihood, "
                "text or scores, such as celebv_hq_emotion/likelihood/clip/uar"
            )
        TASKS.check(parts[0])
        return metric

    @model_validator(mode="after")
    def _objectives_fit(self) -> TuneConfig:
        if sorted(set(self.objectives)) != sorted(self.objectives) or "metric" not in self.objectives:
            raise ValueError("objectives: metric, or metric and active_parameters, each once")
        if len(self.objectives) > 1 and self.search != "optuna":
            raise ValueError(f"objectives: search = {self.search} has one alone, the metric; optuna can have both")
        return self

    @model_validator(mode="after")
    def _can_be_searched(self) -> TuneConfig:
        for key in self.space:
            if key.startswith(NOT_SWEPT):
                raise ValueError(f"space: {key} cannot be swept: it does not say what a trial learns")
        if self.seeds > 1 and "seed" in self.space:
            raise ValueError("space: seed is swept by seeds already; leave one out")
        for key, short in (("model.adapter.num_experts", self.num_experts), ("model.adapter.top_k", self.top_k)):
            if short and key in self.space:
                raise ValueError(f"{key.rpartition('.')[2]} and space.{key} mean the same setting; leave one out")
        for key, dimension in self.dimensions.items():
            if self.search == "grid" and dimension.choices is None:
                raise ValueError(f"space.{key}: search=grid needs choices; for a range use random or optuna")
            unknown = dimension.when.keys() - self.dimensions.keys()
            if unknown:
                raise ValueError(f"space.{key}.when: {', '.join(sorted(unknown))} is not swept")
        changed = sorted(key for key in self.space if key.startswith("training.stages") and STEPS.search(key))
        if self.scheduler and changed:
            raise ValueError(
                f"scheduler: {', '.join(changed)} changes how many steps a stage takes, so that at the same step one "
                "trial's loss would be compared with that of another stage; leave the scheduler or the setting out"
            )
        return self

    @model_validator(mode="after")
    def _population_can_change(self) -> TuneConfig:
        if self.scheduler is None or self.scheduler.name != "pbt":
            return self
        fixed = sorted(key for key in self.dimensions if not MUTABLE_KEY.match(key))
        if fixed:
            raise ValueError(
                f"scheduler: pbt changes settings while trials run, and {', '.join(fixed)} cannot change then: the "
                "weights of one trial would not fit another. Give space a stage's learning_rate, weight_decay, "
                f"{', '.join(MUTABLE[3:])}, such as training.stages.*.learning_rate"
            )
        if self.search not in ("grid", "random"):
            raise ValueError(f"scheduler: pbt looks by itself; set search to grid or random, not to {self.search}")
        if self.seeds > 1:
            raise ValueError("scheduler: pbt and seeds do not go together: no two trials keep the same settings")
        if any(dimension.when for dimension in self.space.values()):
            raise ValueError("scheduler: pbt changes each setting by itself; leave out when")
        return self

    @property
    def dimensions(self) -> dict[str, DimensionConfig]:
        """All that is swept, the short forms included."""
        default = not self.space
        short = {
            "model.adapter.num_experts": self.num_experts or ([2, 4] if default else None),
            "model.adapter.top_k": self.top_k or ([1, 2] if default else None),
        }
        return {key: DimensionConfig(choices=list(values)) for key, values in short.items() if values} | self.space
