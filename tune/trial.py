"""One trial: a whole training with one combination of settings."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from ray import tune as ray_tune

from favchat.config import Config
from favchat.runtime.environment import quiet_environment
from favchat.tracking import Run
from favchat.training.batches.stage_source import StageSource
from favchat.training.stage.job import REPORTS
from favchat.training.stage.step_log import main_loss, read_steps
from tune.goal import Goal
from tune.perturbation import keep_snapshot, perturbations, present_point, take_over
from tune.quality import RungMetric, final_metric
from tune.space import Point, chosen

COUNTER = "curriculum_step"
"""Of a report: optimiser steps since the beginning of the first stage; what schedulers count."""
ACTIVE = "active_parameters"
"""Of a report, where a sweep searches by it: parameters of the adapter that one token passes through."""
FINISHED = "train_seconds"
"""Only in a trial's last report: seconds that its stages took."""
LOOK_S = 0.2
"""Seconds between two looks for new reports."""


@dataclass(frozen=True)
class Sweep:
    """What all trials have in common."""

    config: Config
    run: Run
    """The parent of the trials' MLflow runs."""
    goal: Goal
    """What is compared."""
    at_once: int = 1
    """Trials that run at once."""
    stops: tuple[int, ...] = ()
    """Steps of the curriculum at which each trial waits for the others of its population."""


def trial_folder(config: Config, point: Point) -> Path:
    """Where a trial's training lies: below ``tune.out``."""
    return Path(config.tune.out or "").absolute() / "trials" / point.name


def trial_config(config: Config, point: Point, present: Point | None = None) -> Config:
    """The configuration of one trial: its settings, a folder below ``tune.out``, and nothing registered.

    Args:
        config: The sweep's.
        point: What the trial began with, which names its folder.
        present: What it has now, where that is something else.
    """
    config = (present or point).apply(config)
    training = config.training.model_copy(
        update={
            "out": str(trial_folder(config, point)),
            "reports": config.tune.reports,
            "stages": [stage.model_copy(update={"validate_every": None}) for stage in config.training.stages],
        }
    )
    tracking = config.tracking.model_copy(update={"registered_model": None})
    return config.model_copy(update={"training": training, "tracking": tracking})


def curriculum_steps(config: Config) -> dict[str, int]:
    """The optimiser steps of each stage, in their order.

    Raises:
        ConfigError: A stage has no samples, or not enough for a batch.
    """
    return {stage.name: StageSource(config, stage, None).steps for stage in config.training.stages}


def run_trial(parameters: dict[str, Any], sweep: Sweep) -> None:
    """Train with the code of ``favchat train``, and pass each of its reports on to Ray Tune.

    The reports are those that the workers keep in the trial's folder. A trial that was interrupted tells those after
    the last that Ray Tune remembers, then trains on from its last checkpoint: none is lost and none comes twice. A
    combination that is drawn again costs nothing: it waits for the folder of the first and tells what lies there.

    Of a population, it stops where the trials are compared: with the report, Ray Tune ends this process, and the next
    one goes on from there or from another trial's state.
    """
    quiet_environment()
    point = chosen(parameters)
    config = trial_config(sweep.config, point, present_point(parameters))
    out = Path(config.training.out or "")
    out.mkdir(parents=True, exist_ok=True)
    about = active(config) if "active_parameters" in config.tune.objectives else {}
    with FileLock(out / ".lock"):
        if sweep.stops:
            take_over(out, perturbations(parameters))
        told, report = _told(), dict[str, Any]()
        for until in (*(stop for stop in sweep.stops if stop > told), None):
            training = Training(config, sweep, point, until)
            for report in training.reports(after=told, until=until):
                told = report[COUNTER]
                if told == until:
                    training.wait()
                    keep_snapshot(out, told)
                _tell(report | about)
            training.wait()
        seconds = training.seconds()
        # Where all had been told before, there is none to repeat.
        last = report or list(kept_reports(config, sweep.goal))[-1]
        last |= {FINISHED: seconds} | final_values(config, sweep.goal, out)
    _tell(last | about)


def active(config: Config) -> dict[str, int]:
    """The parameters of a trial's adapter that one token passes through, by name."""
    from favchat.model.adapter import active_parameters
    from favchat.model.build import architecture

    return {ACTIVE: active_parameters(architecture(config.model).adapter_config)}


def final_values(config: Config, goal: Goal, folder: Path) -> dict[str, float]:
    """The metric on all held-out clips, where training does not measure it."""
    return {} if goal.is_loss else {goal.metric: final_metric(config, goal.metric, folder)}


class Training:
    """A training in a thread of its own, to a step of the curriculum or to its end, and what it reports meanwhile."""

    def __init__(self, config: Config, sweep: Sweep, point: Point, until: int | None = None):
        self._config, self._sweep, self._point, self._until = config, sweep, point, until
        self._error: BaseException | None = None
        self._seconds = 0.0
        # A daemon: a trial that is stopped ends, and its training with it.
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    def reports(self, after: int, until: int | None = None) -> Iterator[dict[str, Any]]:
        """The reports beyond a step of the curriculum, and not beyond another one, as they come."""
        while True:
            ended = not self._thread.is_alive()
            for report in kept_reports(self._config, self._sweep.goal):
                if after < report[COUNTER] <= (until or report[COUNTER]):
                    after = report[COUNTER]
                    yield report
            if ended:
                break
            time.sleep(LOOK_S)

    def wait(self) -> None:
        """Wait for the end.

        Raises:
            BaseException: That of the training.
        """
        self._thread.join()
        if self._error:
            raise self._error

    def seconds(self) -> float:
        """Seconds that the stages took, those before an interruption included."""
        return self._seconds

    def _train(self) -> None:
        # Where trials run: what starts the sweep does not train.
        from favchat.training.curriculum import train_until

        try:
            sweep, goal = self._sweep, self._sweep.goal
            result = train_until(
                self._config,
                self._until,
                parent=sweep.run,
                runs_at_once=sweep.at_once,
                gpus_per_worker=sweep.config.tune.gpus_per_worker,
                swept=self._point.swept,
                measure=None if goal.is_loss else RungMetric(self._config, goal.metric),
            )
            self._seconds = sum(stage.seconds for stage in result.stages) if result else 0.0
        except BaseException as error:
            self._error = error


def kept_reports(config: Config, goal: Goal) -> Iterator[dict[str, Any]]:
    """All reports that a trial has kept in its folder, in their order.

    Each has the step of the curriculum, the stage's name, and the metric of the sweep: where that is a loss that the
    stage does not have, its own main loss.
    """
    before = 0
    for stage in config.training.stages:
        folder = Path(config.training.out or "") / "stages" / stage.name
        for line in read_steps(folder / REPORTS):
            report: dict[str, Any] = {key: value for key, value in line.items() if key != "expert_choices"}
            report |= {"stage": stage.name, COUNTER: before + int(line["step"])}
            if goal.is_loss:
                report.setdefault(goal.metric, main_loss(line))
            yield report
        if not (folder / "stage.json").is_file():
            return
        before += int(read_steps(folder / REPORTS)[-1]["step"])


def _told() -> int:
    """The step of the last report that Ray Tune remembers; 0 where there is none."""
    checkpoint = ray_tune.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as folder:
        return int(json.loads((Path(folder) / "told.json").read_text())[COUNTER])


def _tell(report: dict[str, Any]) -> None:
    """Report to Ray Tune, which remembers how far the trial is; the weights lie in the trial's own folder.

    All of these tiny checkpoints are kept: the sweep's state, which is written later, may still name an older one.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "told.json").write_text(json.dumps({COUNTER: report[COUNTER]}))
        ray_tune.report(report, checkpoint=ray_tune.Checkpoint.from_directory(folder))
