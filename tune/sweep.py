"""Run a sweep, or go on with one."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from ray import tune as ray_tune
from ray.tune.schedulers import ASHAScheduler

from favchat import tracking
from favchat.backbones.names import resolve_backbones
from favchat.config import Config, ConfigError, StageConfig, TrainingConfig, require
from favchat.data.corpus.requirements import check_corpus
from favchat.io.settings_record import check_settings, keep_settings, settings_of
from favchat.runtime import ray_cluster
from favchat.training.batches.samples import some_samples
from favchat.training.curriculum import demands
from favchat.training.stage_settings import common_settings, one_stage
from tune.leftovers import Leftovers, wait_for_groups
from tune.progress import Progress
from tune.report import SweepResult, write_report
from tune.space import grid, optuna_search
from tune.trial import Sweep, run_trial, trial_folder

RAY_FOLDER = "ray"
"""Ray Tune's own state, below ``tune.out``."""
RECORD = "sweep.json"
"""The settings that decide what the sweep compares."""
FREE = {"threads", "checkpoint_every", "keep", "max_failures"}
"""Settings of ``training`` that may change while a sweep is interrupted: no result depends on them."""

TRIAL: dict[str, float] = {"memory": 1024**2}
"""What a trial's own process asks for: it only waits, and Ray Tune wants some resource named.

A real amount would be wrong: Ray measures a node's free memory once, when it starts, and what is short at that moment,
as right after a killed sweep whose processes are still dying, would keep every trial waiting for ever."""


def run(config: Config) -> SweepResult:
    """Try every combination of the ``tune`` section, one training each, on the cluster of the ``ray`` section.

    Called again with the same ``tune.out`` it goes on where it was: finished trials are not run again, failed and
    interrupted ones are, each from its last finished stage.

    Raises:
        ConfigError: A setting is missing, or ``tune.out`` holds a sweep with other settings.
        RuntimeError: Every trial failed.
    """
    corpus, folder = require(config, "data.out", "tune.out")
    if not config.training.stages:
        raise ConfigError("training.stages is empty: there is nothing to train")
    if config.training.init or any(stage.init for stage in config.training.stages):
        raise ConfigError(
            "training.init, or a stage's init, names a trained model, whose number of experts is what it is; set it to "
            "null: the trials of a sweep begin with adapters of their own"
        )
    check_corpus(corpus, annotations=True)
    resolve_backbones(config.model)  # a name that leads nowhere is told before anything starts
    out = Path(folder).absolute()
    refusal = f"tune.out = {out} holds a sweep with other settings; choose another or delete it"
    check_settings(out / RECORD, sweep_settings(config), sweep_settings(Config(training=_bare(config))), refusal)
    metric = config.tune.metric or default_metric(config, corpus)
    # The watchers that Ray Train starts see with the dashboard alone that a stopped trial is gone, and end.
    ray_cluster.start(config.ray, dashboard=True, demands=demands(config))
    parent = _parent_run(config, out)
    try:
        # Ray Tune prints a header that no setting turns off; progress goes to standard error.
        with redirect_stdout(StringIO()):
            results = _tuner(config, out, metric, Sweep(config, parent)).fit()
        wait_for_groups()
        parent.end_children()
        result = write_report(results, config, metric, parent, out)
        # Ray Tune kills a trial's processes in no order: one whose workers died first still calls its run failed.
        stopped = [trial_folder(config, trial.point) for trial in result.trials if trial.status == "stopped"]
        parent.end_children(not_failed=[tracking.training_name(folder) for folder in stopped])
    except BaseException:
        parent.finish("FAILED")
        raise
    parent.finish()
    return result


def default_metric(config: Config, corpus: str) -> str:
    """``val_loss`` where the last stage has held-out samples, else ``language_loss``."""
    training = config.training
    held_out = some_samples(corpus, training.stages[-1].task, training.val_split, min(1, training.val_batches))
    return "val_loss" if held_out.num_rows else "language_loss"


def _tuner(config: Config, out: Path, metric: str, sweep: Sweep) -> ray_tune.Tuner:
    # The CPUs and GPUs belong to the workers of its training.
    trainable = ray_tune.with_resources(ray_tune.with_parameters(run_trial, sweep=sweep), TRIAL)
    place = out / RAY_FOLDER
    if ray_tune.Tuner.can_restore(str(place)):
        return ray_tune.Tuner.restore(str(place), trainable, resume_unfinished=True, resume_errored=True)
    tune = config.tune
    scheduler = None
    if tune.asha:
        scheduler = ASHAScheduler(
            grace_period=tune.asha.grace_period,
            reduction_factor=tune.asha.reduction_factor,
            max_t=tune.reports * len(config.training.stages) + 1,
        )
    by_optuna = tune.search == "optuna"
    return ray_tune.Tuner(
        trainable,
        param_space={} if by_optuna else grid(tune),
        tune_config=ray_tune.TuneConfig(
            metric=metric,
            mode="min",
            scheduler=scheduler,
            search_alg=optuna_search(tune, metric, config.seed) if by_optuna else None,
            num_samples=tune.num_samples if by_optuna else 1,
            max_concurrent_trials=tune.max_concurrent,
        ),
        run_config=ray_tune.RunConfig(
            name=RAY_FOLDER, storage_path=str(out), verbose=0, callbacks=[Progress(metric), Leftovers()]
        ),
    )


def _parent_run(config: Config, out: Path) -> tracking.Run:
    """The sweep's MLflow run: a new one, or that of the sweep that lies in `out`."""

    def begin() -> tracking.Run:
        started = tracking.start_run(config.tracking, f"tune {out.name}")
        started.log_config(config)
        return started

    run = tracking.resumed_run(out / "run.json", config.tracking, begin)
    keep_settings(out / RECORD, sweep_settings(config))
    return run


def sweep_settings(config: Config) -> dict[str, Any]:
    """Dotted key -> value of every setting that decides what a sweep compares."""
    training = config.training
    settings = common_settings(config) | settings_of(training, "training.", {"out", "stages", *FREE})
    settings["training.stages"] = [stage.name for stage in training.stages]
    for stage in training.stages:
        settings |= one_stage(stage)
    return settings | settings_of(config.tune, "tune.", {"out"})


def _bare(config: Config) -> TrainingConfig:
    """The stages with nothing set but what they cannot do without."""
    return TrainingConfig(stages=[StageConfig(name=stage.name, task=stage.task) for stage in config.training.stages])
