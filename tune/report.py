"""Writes what a sweep found: table, page, pictures, the best configuration; draws page and pictures anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from ray.tune import ResultGrid

from favchat import tracking
from favchat.config import Config
from favchat.io.files import write_text_whole
from favchat.tracking import Run
from tune.goal import Goal
from tune.results import (
    Kept,
    SweepResult,
    Trial,
    best_config,
    best_trials,
    rank,
    read_kept,
    read_trials,
    write_table,
)
from tune.trial import kept_reports, trial_config, trial_folder

TRIALS = "trials.json"
PAGE = "report.html"


def write_report(results: ResultGrid, config: Config, goal: Goal, run: Run, out: Path) -> SweepResult:
    """Write ``results.csv``, ``trials.json``, ``report.html``, pictures and ``best.yaml``, and log them to the run.

    Raises:
        RuntimeError: No trial finished.
    """
    found = read_trials([results[index] for index in range(len(results))], config, goal)
    trials = sorted(found, key=partial(rank, goal=goal))
    _log_trials(trials, config, goal)
    if not trials or trials[0].metric is None or trials[0].status != "finished":
        errors = "; ".join(str(error) for error in results.errors) or "none was started"
        raise RuntimeError(f"no trial of the sweep in {out} finished: {errors}")
    result = SweepResult(goal, trials, out / "best.yaml", out / "results.csv", out / PAGE, run)
    best = best_trials(trials, goal)
    reached = fmean(trial.metric for trial in best if trial.metric is not None)
    result.best.write_text(best_config(config, best, f"{goal.metric} {reached:.4f}"))
    write_table(trials, result.table)
    Kept(trials, goal, [stage.name for stage in config.training.stages]).write(out / TRIALS)
    for path in (result.best, result.table, out / TRIALS, *redraw(out)):
        run.log_artifact(path)
    run.log_metrics({f"best_{goal.metric}": reached}, 0)
    return result


def redraw(out: Path) -> Sequence[Path]:
    """Draw the page and the pictures of a finished sweep from what lies in its folder; nothing is trained or asked.

    Returns:
        The files.

    Raises:
        ConfigError: No finished sweep lies there.
    """
    kept = read_kept(out / TRIALS)
    # Plots take seconds to import, which neither the start of a sweep nor a wrong folder need wait for.
    from tune.findings import findings
    from tune.page import page
    from tune.plots import draw_all

    found = findings(kept, out)
    write_text_whole(out / PAGE, page(found, f"tune {out.name}"))
    return [out / PAGE, *draw_all(found, out)]


def _log_trials(trials: Sequence[Trial], config: Config, goal: Goal) -> None:
    """Give each trial's MLflow run its last and best metric: a trial that was stopped early could not by itself."""
    for trial in trials:
        record = trial_folder(config, trial.point) / "run.json"
        values = [report[goal.metric] for report in kept_reports(trial_config(config, trial.point), goal)]
        if not values or trial.metric is None or not record.is_file():
            continue
        run = Run(**json.loads(record.read_text()))
        metrics = {goal.metric: trial.metric, f"best_{goal.metric}": goal.best([*values, trial.metric])}
        tracking.attempt("a trial's metrics are not logged", partial(run.log_metrics, metrics, trial.steps))
