"""The section of the whole road."""

from __future__ import annotations

from pydantic import model_validator

from favchat.config.section import Place, Section


class ThresholdConfig(Section):
    """What a metric of the evaluation must reach; null: no bound."""

    min: float | None = None
    """It must be this or more."""
    max: float | None = None
    """It must be this or less."""

    @model_validator(mode="after")
    def _says_something(self) -> ThresholdConfig:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min:g} is more than max = {self.max:g}")
        return self

    def fault(self, value: float) -> str | None:
        """What is wrong with a value, such as ``at least 0.5 is required``; None where it will do."""
        if self.min is not None and not value >= self.min:
            return f"at least {self.min:g} is required"
        if self.max is not None and not value <= self.max:
            return f"at most {self.max:g} is required"
        return None


class PipelineConfig(Section):
    """``favchat pipeline``: prepare, annotate, train, evaluate, register, deploy."""

    out: Place | None = None
    """Folder of the whole, which all nodes see; ``data.out``, ``training.out`` and ``evaluation.out`` are by default
    its ``corpus``, ``run`` and ``evaluation``."""
    require: dict[str, ThresholdConfig] = {}
    """Metric of the evaluation, by the name that MLflow shows (``questions/likelihood/yes_no/uar``) -> what it must
    reach for the model to be registered."""
    deploy: bool = False
    """Whether the model is served by the cluster of the ``ray`` section in the end, by the ``serve`` section."""
