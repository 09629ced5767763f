"""One trial: a whole training with one combination of experts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from ray import tune as ray_tune
from ray.tune.integration.ray_train import TuneReportCallback

from favchat.config import Config
from favchat.runtime.environment import quiet_environment
from favchat.tracking import Run
from tune.space import Point, chosen


@dataclass(frozen=True)
class Sweep:
    """What all trials have in common."""

    config: Config
    run: Run
    """The parent of the trials' MLflow runs."""


def trial_folder(config: Config, point: Point) -> Path:
    """Where a trial's training lies: below ``tune.out``."""
    return Path(config.tune.out or "").absolute() / "trials" / point.name


def trial_config(config: Config, point: Point) -> Config:
    """The configuration of one trial: its adapter, a folder below ``tune.out``, and nothing registered."""
    training = config.training.model_copy(
        update={
            "out": str(trial_folder(config, point)),
            "reports": config.tune.reports,
            "stages": [stage.model_copy(update={"validate_every": None}) for stage in config.training.stages],
        }
    )
    tracking = config.tracking.model_copy(update={"registered_model": None})
    return point.apply(config).model_copy(update={"training": training, "tracking": tracking})


def run_trial(parameters: dict[str, Any], sweep: Sweep) -> None:
    """Train with the code of ``favchat train``, and pass each of its reports on to Ray Tune.

    A trial that was interrupted goes on after its last finished stage. A combination that Optuna draws again costs
    nothing: it waits for the folder of the first and reports what lies there.
    """
    # Where trials run: what starts the sweep does not train.
    from favchat.training.curriculum import train

    quiet_environment()
    config = trial_config(sweep.config, chosen(parameters))
    out = Path(config.training.out or "")
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        result = train(
            config,
            parent=sweep.run,
            callbacks=[TuneReportCallback()],
            runs_at_once=config.tune.max_concurrent,
        )
    # Stages that had been finished before reported nothing this time.
    ray_tune.report({**result.stages[-1].metrics, "train_seconds": sum(stage.seconds for stage in result.stages)})
