"""Registers a trained model whose evaluation meets ``pipeline.require``."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

from favchat.config import Config, ConfigError
from favchat.errors import UserError
from favchat.io.paths import read_bytes

METRICS = "metrics.json"
"""Of an evaluation, in ``evaluation.out``."""


class RequirementError(UserError):
    """The evaluation does not reach what ``pipeline.require`` asks for."""


def register(config: Config) -> str:
    """Check the evaluation, then make the model the newest version in the registry where a name is set.

    Returns:
        What was done.

    Raises:
        RequirementError: A metric does not reach its threshold; nothing is registered.
        ConfigError: There is no such metric, or no evaluation.
    """
    from favchat.tracking import Run
    from favchat.training.registration import register as register_model

    metrics = evaluation_metrics(config.evaluation.out or "")
    check(config, metrics)
    met = f"met {len(config.pipeline.require)} of pipeline.require" if config.pipeline.require else ""
    if config.tracking.registered_model is None:
        return f"{met}; tracking.registered_model is not set"
    out = Path(config.training.out or "")
    if not (out / "run.json").is_file():
        raise ConfigError(f"training.out = {out}: no training there; run the step train first")
    run = Run(**json.loads((out / "run.json").read_text()))
    tags = {f"evaluation/{name}": f"{metrics[name]:.6g}" for name in config.pipeline.require}
    return "; ".join(filter(None, [f"registered as {register_model(config, run, tags)}", met]))


def check(config: Config, metrics: dict[str, float]) -> None:
    """Hold the metrics of an evaluation against ``pipeline.require``.

    Raises:
        RequirementError: One does not reach its threshold; all such are named.
        ConfigError: The evaluation has no such metric.
    """
    faults = []
    for name, bounds in config.pipeline.require.items():
        if name not in metrics:
            near = difflib.get_close_matches(name, metrics, n=3, cutoff=0.4) or sorted(metrics)[:5]
            raise ConfigError(f"pipeline.require: the evaluation has no {name}; near: {', '.join(near) or 'nothing'}")
        fault = bounds.fault(metrics[name])
        if fault:
            faults.append(f"  {name} is {metrics[name]:.4g}, {fault}")
    if faults:
        raise RequirementError("\n".join(["not registered: the evaluation falls short of pipeline.require", *faults]))


def evaluation_metrics(out: str) -> dict[str, float]:
    """The metrics of a finished evaluation, by the names under which MLflow shows them.

    Raises:
        ConfigError: There is no evaluation.
    """
    report: dict[str, Any] = json.loads(read_bytes(f"{out}/{METRICS}"))
    return {
        re.sub(r"[^\w\-. /]", "", f"{task}/{result['way']}/{result['part']}/{name}"): metric["value"]
        for task, found in report["tasks"].items()
        for result in found["results"]
        for name, metric in result["metrics"].items()
        if metric["value"] is not None
    }
