"""Run a sweep, or go on with one."""

from __future__ import annotations

import signal
import threading
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import ray
from ray import tune as ray_tune
from rich.console import Console

from favchat import tracking
from favchat.backbones.names import resolve_backbones
from favchat.config import Config, ConfigError, StageConfig, TrainingConfig, require
from favchat.data.corpus.parquet_files import parquet_files
from favchat.data.corpus.requirements import check_corpus
from favchat.data.corpus.schema import SHARDS
from favchat.io.paths import absolute, path_of
from favchat.io.settings_record import check_settings, keep_settings, settings_of
from favchat.runtime import ray_cluster
from favchat.training.batches.samples import some_clips, some_samples
from favchat.training.features.feature_cache import stage_features
from favchat.training.resources import demands
from favchat.training.stage_settings import common_settings, one_stage
from tune.budget import GpuHours
from tune.goal import Goal
from tune.leftovers import Leftovers, wait_for_groups
from tune.memory import Memory, Remembering
from tune.perturbation import drop_snapshots
from tune.population import Population, first_points, stops
from tune.progress import Progress
from tune.quality import check_quality
from tune.report import SweepResult, write_report
from tune.schedule import scheduler
from tune.search import searcher
from tune.space import check_space, choices, chosen, grid, grid_points
from tune.trial import Sweep, curriculum_steps, run_trial, trial_folder

RAY_FOLDER = "ray"
"""Ray Tune's own state, below ``tune.out``."""
RECORD = "sweep.json"
"""The settings that decide what the sweep compares."""
FREE = {"threads", "checkpoint_every", "keep", "max_failures"}
"""Settings of ``training`` that may change while a sweep is interrupted: no result depends on them."""
FREE_TUNE = {"out", "max_concurrent", "max_failures", "hours", "gpu_hours", "gpus_per_worker"}
"""Those of ``tune``."""

TRIAL: dict[str, float] = {"memory": 1024**2}
"""What a trial's own process asks for: it only waits, and Ray Tune wants some resource named.

A real amount would be wrong: Ray measures a node's free memory once, when it starts, and what is short at that moment,
as right after a killed sweep whose processes are still dying, would keep every trial waiting for ever."""


def run(config: Config) -> SweepResult:
    """Try the combinations of the ``tune`` section, one training each, on the cluster of the ``ray`` section.

    Called again with the same ``tune.out`` it goes on where it was: finished trials are not run again, failed and
    interrupted ones are, each from its last checkpoint.

    Raises:
        ConfigError: A setting is missing or cannot be swept, or ``tune.out`` holds a sweep with other settings.
        RuntimeError: Every trial failed.
        KeyboardInterrupt: Somebody stopped it; the same call goes on.
    """
    corpus, folder = require(config, "data.out", "tune.out")
    if not config.training.stages:
        raise ConfigError("training.stages is empty: there is nothing to train")
    if config.training.init or any(stage.init for stage in config.training.stages):
        raise ConfigError(
            "training.init, or a stage's init, names a trained model, whose number of experts is what it is; set it to "
            "null: the trials of a sweep begin with adapters of their own"
        )
    check_space(config)
    tell_impossible(config)
    check_corpus(corpus, annotations=True)
    check_budget(config)
    goal = Goal(config.tune.metric or default_metric(config, corpus))
    resolve_backbones(config.model)  # a name that leads nowhere is told before anything starts
    if not goal.is_loss:
        check_quality(config, goal.metric)
    out = Path(folder).absolute()
    # Trials have working directories of their own.
    places = {
        "data": config.data.model_copy(update={"out": absolute(corpus)}),
        "tune": config.tune.model_copy(update={"out": str(out)}),
    }
    config = config.model_copy(update=places)
    refusal = f"tune.out = {out} holds a sweep with other settings; choose another or delete it"
    check_settings(out / RECORD, sweep_settings(config), sweep_settings(Config(training=_bare(config))), refusal)
    ray_cluster.start(config.ray, demands=demands(config, config.tune.gpus_per_worker))
    parent = _parent_run(config, out)
    try:
        stages = curriculum_steps(config)
        at_once = config.tune.max_concurrent or _fit_at_once(config)
        sweep = Sweep(config, parent, goal, at_once, stops(config, stages))
        if not goal.is_loss:
            encode_all(config)
        results = _fit(_tuner(sweep, stages, out))
        wait_for_groups()
        parent.end_children()
        result = write_report(results, config, goal, parent, out)
        drop_snapshots(out)
        # Ray Tune kills a trial's processes in no order: one whose workers died first still calls its run failed.
        stopped = [trial_folder(config, trial.point) for trial in result.trials if trial.status == "stopped"]
        parent.end_children(not_failed=[tracking.training_name(folder) for folder in stopped])
    except BaseException as error:
        parent.end_children()
        parent.finish(tracking.status_of(error))
        raise
    parent.finish()
    return result


def tell_impossible(config: Config) -> None:
    """Say how many combinations of a grid the configuration itself refuses.

    Raises:
        ConfigError: All of them.
    """
    if config.tune.search != "grid":
        return
    found, left_out = grid_points(config)
    if left_out:
        name, reason = next(iter(left_out.items()))
        Console(stderr=True, soft_wrap=True).print(
            f"tune: {len(left_out)} of {len(found) + len(left_out)} combinations are impossible and left out, such as "
            f"{name}: {reason}",
            highlight=False,
        )


def check_budget(config: Config) -> None:
    """See that GPU settings have GPUs to go by.

    Raises:
        ConfigError: They have not.
    """
    tune, training = config.tune, config.training
    shared = tune.gpus_per_worker < 1
    if not training.use_gpu and (tune.gpu_hours or shared):
        name = "gpu_hours" if tune.gpu_hours else "gpus_per_worker"
        raise ConfigError(f"tune.{name}: no trial takes a GPU; set training.use_gpu=true, or leave it out")
    if shared and training.num_workers > 1:
        raise ConfigError(
            f"tune.gpus_per_worker = {tune.gpus_per_worker:g}: the training.num_workers = {training.num_workers} of a "
            "trial could come to share a GPU, which their communication refuses; a part of a GPU is for one worker"
        )


def encode_all(config: Config) -> None:
    """Compute the frozen encoders' features of the whole corpus, held-out clips too, before trials ask for them."""
    shards = parquet_files(path_of(config.data.out or "") / SHARDS)
    stage_features(config, config.training.stages[0], None, [str(shard) for shard in shards])


def default_metric(config: Config, corpus: str) -> str:
    """``val_loss`` where the last stage has held-out samples, else the loss that it trains on."""
    training, last = config.training, config.training.stages[-1]
    if last.task == "attributes":
        held_out, otherwise = some_clips(corpus, training.val_split, min(1, training.val_batches)), "attribute_loss"
    else:
        held_out = some_samples(corpus, last.task, training.val_split, min(1, training.val_batches))
        otherwise = "language_loss"
    return "val_loss" if held_out.num_rows else otherwise


def _tuner(sweep: Sweep, stages: dict[str, int], out: Path) -> ray_tune.Tuner:
    config, goal = sweep.config, sweep.goal
    # The CPUs and GPUs belong to the workers of its training.
    trainable = ray_tune.with_resources(ray_tune.with_parameters(run_trial, sweep=sweep), TRIAL)
    place = out / RAY_FOLDER
    if ray_tune.Tuner.can_restore(str(place)):
        return ray_tune.Tuner.restore(str(place), trainable, resume_unfinished=True, resume_errored=True)
    tune = config.tune
    judge = scheduler(config, goal, stages, sweep.at_once)
    memory = [Memory(judge)] if isinstance(judge, Remembering) else []
    is_population = isinstance(judge, Population)
    # A population's members are all there from the beginning, and wait for each other.
    listed = choices(first_points(config, goal)) if is_population else grid(config) if tune.search == "grid" else None
    return ray_tune.Tuner(
        trainable,
        param_space=listed or {},
        tune_config=ray_tune.TuneConfig(
            metric=None if tune.scheduler else goal.metric,
            mode=None if tune.scheduler else goal.mode,
            scheduler=judge,
            search_alg=None if listed else searcher(config, goal),
            num_samples=1 if listed else tune.num_samples * tune.seeds,
            max_concurrent_trials=None if is_population else sweep.at_once,
            time_budget_s=tune.hours and 3600 * tune.hours,
            trial_dirname_creator=_state_folder,
        ),
        run_config=ray_tune.RunConfig(
            name=RAY_FOLDER,
            storage_path=str(out),
            verbose=0,
            callbacks=[Progress(goal.metric), Leftovers(), *memory],
            stop=GpuHours(out, tune.gpu_hours, config) if tune.gpu_hours else None,
            failure_config=ray_tune.FailureConfig(max_failures=tune.max_failures),
        ),
    )


def _state_folder(trial: Any) -> str:
    """What the folder of Ray Tune's own state of a trial is called; a combination may be drawn twice."""
    return f"{chosen(trial.config).name}-{trial.trial_id}"


def _fit_at_once(config: Config) -> int:
    """How many trials the cluster has room for: GPUs for all of their workers, or CPUs beside the one for Ray Data."""
    there, workers = ray.cluster_resources(), config.training.num_workers
    free = there.get("GPU", 0.0) if config.training.use_gpu else there.get("CPU", 1.0) - 1
    each = workers * (config.tune.gpus_per_worker if config.training.use_gpu else 1)
    return max(1, int(free / each + 1e-9))


def _fit(tuner: ray_tune.Tuner) -> ray_tune.ResultGrid:
    """Run the trials.

    Raises:
        KeyboardInterrupt: Somebody stopped them, and their state is kept. Ray Tune itself ends quietly then.
    """
    if threading.current_thread() is not threading.main_thread():
        return tuner.fit()
    before = signal.getsignal(signal.SIGINT)
    try:
        # Ray Tune prints a header that no setting turns off; progress goes to standard error.
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            # A process that trains is not used again: with the next settings it would not be a fresh one.
            warnings.filterwarnings("ignore", message="Consider boosting PBT performance")
            results = tuner.fit()
        # Its own handler puts the former one back when it is called, and only then.
        interrupted = signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt
    return results


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
    return settings | settings_of(config.tune, "tune.", FREE_TUNE)


def _bare(config: Config) -> TrainingConfig:
    """The stages with nothing set but what they cannot do without."""
    return TrainingConfig(stages=[StageConfig(name=stage.name, task=stage.task) for stage in config.training.stages])
