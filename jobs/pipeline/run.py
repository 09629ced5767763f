"""Runs the steps of a pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from favchat.config import Config, ConfigError, require
from favchat.io.paths import is_remote
from favchat.runtime.preload import preload_training
from jobs.pipeline.plan import Decision, decide, plan
from jobs.pipeline.record import Record, StepRecord
from jobs.pipeline.register import RequirementError, evaluation_metrics
from jobs.pipeline.steps import NAMES, STEPS

if TYPE_CHECKING:
    from favchat.tracking import Run

TRAIN = NAMES.index("train")
"""The place of the first step whose workers use the model."""
RUN = "run.json"
"""The MLflow run of a pipeline that has not come to its end."""


def completed(config: Config) -> Config:
    """The configuration with every folder filled in.

    Raises:
        ConfigError: A setting is missing, or there is one that has no place in a pipeline.
    """
    require(config, "pipeline.out")
    out = config.pipeline.out or ""
    if is_remote(out):
        raise ConfigError(f"pipeline.out = {out}: must be a folder that all nodes see; data.out may be such an address")
    if config.evaluation.model is not None or config.evaluation.server.base_url is not None:
        raise ConfigError("evaluation.model, evaluation.server: a pipeline evaluates the model that it trains")
    tasks = config.evaluation.tasks
    for name in config.pipeline.require:
        if name.partition("/")[0] not in tasks:
            raise ConfigError(f"pipeline.require.{name}: begins with none of evaluation.tasks = {tasks}")
    training = config.training.out or f"{out}/run"
    parts = {
        "data": {"out": config.data.out or f"{out}/corpus"},
        "training": {"out": training},
        "evaluation": {"out": config.evaluation.out or f"{out}/evaluation", "model": f"{training}/model"},
    }
    changed = {name: getattr(config, name).model_copy(update=update) for name, update in parts.items()}
    config = config.model_copy(update=changed)
    if config.pipeline.deploy:
        from jobs.pipeline.deploy import check

        check(config)
    return config


def run(
    config: Config,
    *,
    first: str | None = None,
    last: str | None = None,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Do the steps whose inputs or settings changed, that were interrupted, or whose output is gone.

    Results of earlier settings are not lost: ``training.out`` and ``evaluation.out`` are moved aside (``run.1``), while
    ``prepare`` refuses to mix rows. One pipeline at a time works in a folder.

    Args:
        config: Needs ``pipeline.out`` and what the steps need.
        first: The step to begin with; those before it are left as they are.
        last: The step to end with.
        dry_run: Say what would be done and why, and do nothing.
        say: Gets a few lines for each step.

    Returns:
        The names of the steps that were done; with `dry_run` of those that would be.

    Raises:
        ConfigError: A setting is missing or wrong.
        RequirementError: The evaluation falls short of ``pipeline.require``.
    """
    config = completed(config)
    if first and last and NAMES.index(first) > NAMES.index(last):
        raise ConfigError(f"--from {first} --until {last}: there is nothing between them")
    folder = Path(config.pipeline.out or "")
    if dry_run:
        decisions = plan(config, Record(folder), first, last)
        for decision in decisions:
            say("\n".join(decision.lines()))
        return [decision.step.name for decision in decisions if decision.do]
    with _alone(folder):
        return _run(config, folder, first, last, say)


def _run(config: Config, folder: Path, first: str | None, last: str | None, say: Callable[[str], None]) -> list[str]:
    from favchat import tracking

    record = Record(folder)
    parent: Run | None = None
    done: list[str] = []
    try:
        for step in STEPS:
            decision = decide(step, config, record, first, last)
            say("\n".join(decision.lines()))
            if not decision.do:
                continue
            if NAMES.index(step.name) < TRAIN <= NAMES.index(last or NAMES[-1]):
                preload_training(config.ray)  # before a local Ray starts with less
            if parent is None:
                parent = tracking.resumed_run(folder / RUN, config.tracking, lambda: _begin(config, folder))
            _do(decision, config, record, parent, say)
            done.append(step.name)
            if step.name == "evaluate":
                _log_metrics(config, parent)
    except BaseException as error:
        if parent is not None:
            ended, run_ = tracking.status_of(error), parent
            tracking.attempt("the pipeline's run is not marked as ended", lambda: run_.finish(ended))
        if isinstance(error, RequirementError):  # nothing of it is left to go on with
            (folder / RUN).unlink(missing_ok=True)
        raise
    if parent is not None:
        tracking.attempt("the pipeline's run is not marked as finished", parent.finish)
        (folder / RUN).unlink(missing_ok=True)
    return done


def _do(decision: Decision, config: Config, record: Record, parent: Run, say: Callable[[str], None]) -> None:
    step, began = decision.step, time.monotonic()
    if decision.aside:
        moved = _set_aside(step.folder(config))
        if moved:
            say(f"{'':15} what was there is in {moved} now")
    record.keep(step.name, StepRecord(decision.settings, decision.inputs))
    summary = step.work(config, parent)
    # What it read may lie elsewhere by now than when it began only where somebody else changed it meanwhile.
    record.keep(
        step.name,
        StepRecord(
            decision.settings,
            decision.inputs,
            done=True,
            output=step.output(config),
            ended=datetime.now().astimezone().isoformat(" ", "seconds"),
            summary=summary,
        ),
    )
    say(f"{summary} ({time.monotonic() - began:.0f} s)")


def _set_aside(folder: str | None) -> Path | None:
    """Give a folder with results of other settings another name: ``run.1``, ``run.2``, ..."""
    if folder is None or is_remote(folder) or not Path(folder).exists():
        return None
    place, number = Path(folder), 1
    while (target := place.with_name(f"{place.name}.{number}")).exists():
        number += 1
    place.rename(target)
    return target


def _begin(config: Config, folder: Path) -> Run:
    from favchat import tracking

    started = tracking.start_run(config.tracking, f"pipeline {folder.absolute().name}")
    started.log_config(config)
    return started


def _log_metrics(config: Config, parent: Run) -> None:
    """The evaluation's metrics are those of the whole, too."""
    from favchat import tracking

    metrics = evaluation_metrics(config.evaluation.out or "")
    tracking.attempt("the pipeline's metrics are not logged", lambda: parent.log_metrics(metrics, 0))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ConfigError(f"pipeline.out = {folder}: another pipeline works there") from error
