"""The staged curriculum: one Ray Train run per stage, each initialised from the previous one."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError

from favchat import tracking
from favchat.backbones.names import resolve_backbones
from favchat.config import Config, ConfigError, StageConfig, require
from favchat.data.corpus.digest import corpus_digest
from favchat.hub.fingerprint import model_fingerprint
from favchat.hub.names import resolve_model
from favchat.io.files import link_or_copy, write_text_whole
from favchat.io.paths import absolute
from favchat.io.settings_record import Settings, check_settings, keep_settings, settings_of
from favchat.runtime import ray_cluster
from favchat.runtime.in_worker import run_in_worker
from favchat.training.batches.stage_source import StageSource
from favchat.training.features.feature_cache import stage_features
from favchat.training.model_card import model_card
from favchat.training.registration import register
from favchat.training.resources import demands
from favchat.training.stage.checkpoints import RECORD, newest
from favchat.training.stage.errors import TrainingError
from favchat.training.stage.job import REPORTS, Measure, StageJob
from favchat.training.stage.step_log import main_loss, progress_bar, read_steps
from favchat.training.stage.trainer import StageTrainer
from favchat.training.stage.worker import run as train_stage
from favchat.training.stage_settings import SETTINGS, stage_defaults, stage_settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    """Outcome of a stage."""

    name: str
    model: Path
    """A `from_pretrained` directory."""
    first_loss: float
    """Mean loss of the first tenth of the steps."""
    last_loss: float
    """Mean loss of the last tenth of the steps."""
    seconds: float
    metrics: dict[str, float]
    """The last report, see :func:`favchat.training.stage.worker.run`."""

    def summary(self) -> str:
        """Short human-readable summary."""
        val_loss = f", {self.metrics['val_loss']:.2f} held out" if "val_loss" in self.metrics else ""
        return f"{self.name} loss {self.first_loss:.2f} to {self.last_loss:.2f}{val_loss} in {self.seconds:.0f} s"


@dataclass(frozen=True)
class TrainResult:
    """Outcome of a training run."""

    model: Path
    """A `from_pretrained` directory: the last stage's model."""
    stages: list[StageResult]
    run: tracking.Run
    registered: str | None = None
    """The model's name in the registry, such as ``models:/favchat-nano/3``."""

    def summary(self) -> str:
        """Human-readable summary of one line."""
        stages = "; ".join(stage.summary() for stage in self.stages)
        registered = f", registered as {self.registered}" if self.registered else ""
        return f"trained {stages} -> {self.model}{registered}"


def train(
    config: Config,
    *,
    parent: tracking.Run | None = None,
    runs_at_once: int = 1,
    gpus_per_worker: float = 1,
    swept: Mapping[str, Any] | None = None,
    measure: Measure | None = None,
) -> TrainResult:
    """Run all stages of the curriculum, on the cluster of the ``ray`` section unless Ray runs already.

    A stage that an earlier call with the same settings finished is skipped, and an interrupted one resumes from its
    last checkpoint. With several nodes ``training.out`` and ``data.out`` must lie on storage that all of them see.

    Args:
        config: Needs ``data.out``, ``training.out`` and ``training.stages``.
        parent: Parent of this MLflow run.
        runs_at_once: Number of concurrent trainings that share the cluster's CPUs.
        gpus_per_worker: With ``training.use_gpu``: less than 1 lets several trainings share a GPU.
        swept: Dotted settings in which this run differs from others: its parameters in MLflow even where they are the
            defaults.
        measure: What else each report says of the model.

    Raises:
        ConfigError: Something is missing, or ``training.out`` holds a run with other settings.
        AssetError: An embedded default cannot be fetched.
        ConnectionError: Ray cannot be reached or started.
        TrainingError: A stage could not be finished; the message says why.
    """
    return cast(TrainResult, train_until(config, None, parent, runs_at_once, gpus_per_worker, swept, measure))


def train_until(
    config: Config,
    until: int | None,
    parent: tracking.Run | None = None,
    runs_at_once: int = 1,
    gpus_per_worker: float = 1,
    swept: Mapping[str, Any] | None = None,
    measure: Measure | None = None,
) -> TrainResult | None:
    """Run the curriculum as :func:`train` does, but stop at a step of it, with a checkpoint of the stage it is in.

    Args:
        config: As for :func:`train`, as are the errors. The next call may have other learning rates and the like, if
            the stages' ``settings.json`` are removed before.
        until: Optimiser steps of all stages together; None: to the end.
        parent: As for :func:`train`.
        runs_at_once: As for :func:`train`.
        gpus_per_worker: As for :func:`train`.
        swept: As for :func:`train`.
        measure: As for :func:`train`.

    Returns:
        None where it stopped before the end.
    """
    corpus, folder = require(config, "data.out", "training.out")
    if not config.training.stages:
        raise ConfigError("training.stages is empty: there is nothing to train")
    out, corpus = Path(folder).absolute(), absolute(corpus)
    # Absolute paths: Ray workers have other working directories.
    config = config.model_copy(update={"data": config.data.model_copy(update={"out": corpus})})
    inits = [
        _resolve(stage.init, f"training.stages.{index}.init", config)
        for index, stage in enumerate(config.training.stages)
    ]
    inits[0] = inits[0] or _resolve(config.training.init, "training.init", config)
    if inits[0] is None:
        config = config.model_copy(update={"model": resolve_backbones(config.model)})
    else:
        _warn_of_unused(config, inits[0])
    for stage in config.training.stages:
        _ = StageSource(config, stage, None).schedule  # fail before any work if a later stage has no samples
    ray_cluster.start(config.ray, demands=demands(config, gpus_per_worker))
    resources = scaling(config, runs_at_once, gpus_per_worker)

    settings = _all_settings(config, inits)
    for stage, kept in zip(config.training.stages, settings, strict=True):
        place = _folder(config, stage)
        refusal = f"{place} holds this stage with other settings; choose another training.out or delete that folder"
        check_settings(place / SETTINGS, kept, stage_defaults(stage), refusal)

    def begin() -> tracking.Run:
        name = tracking.training_name(out)
        started = tracking.start_run(config.tracking, name, parent=parent)
        started.log_config(config)
        started.log_params(swept or {})
        digest = corpus_digest(corpus)
        started.log_dataset(corpus, digest, config.training.split, "training")
        started.log_dataset(corpus, digest, config.training.val_split, "validation")
        return started

    run = tracking.resumed_run(out / "run.json", config.tracking, begin)
    results: list[StageResult] = []
    try:
        for stage, init, kept in zip(config.training.stages, inits, settings, strict=True):
            start = init or (str(results[-1].model) if results else None)
            left = None if until is None else until - int(sum(result.metrics["step"] for result in results))
            if left is not None and left <= 0:
                return None
            done = _run_stage(config, stage, start, kept, run, runs_at_once, resources, measure, left)
            if done is None:
                return None
            results.append(done)
        _calibrate(config, config.training.stages[-1], results[-1].model)
        _link_tree(results[-1].model, out / "model")
        tracking.attempt("the run's metrics are not logged", lambda: _log_results(run, results))
        registered = tracking.attempt("the model is not registered", lambda: register(config, run))
    except BaseException as error:
        ended = tracking.status_of(error)
        tracking.attempt("the run is not marked as ended", lambda: run.finish(ended))
        raise
    tracking.attempt("the run is not marked as finished", run.finish)
    return TrainResult(out / "model", results, run, registered)


def _calibrate(config: Config, stage: StageConfig, model: Path) -> None:
    """Calibrate the finished model's attribute predictions, unless an earlier call has done so."""
    taught = json.loads((model / "config.json").read_text())["adapter_config"].get("attributes")
    if not taught or (model / "calibration.json").is_file():
        return
    run_in_worker(_calibration, config, stage, model)


def _calibration(config: Config, stage: StageConfig, model: Path) -> None:
    # Imported here, in the worker: this process does without the model's classes, which take seconds.
    from favchat.training.calibration import calibrate_model

    calibrate_model(config, stage, model)


def _resolve(init: str | None, key: str, config: Config) -> str | None:
    """Resolve a checkpoint or model to a path that is valid in every worker's working directory."""
    if init is not None and (Path(init) / RECORD).is_file():
        return str(Path(init).absolute())
    return None if init is None else resolve_model(init, config.tracking, key=key)


def _all_settings(config: Config, inits: Sequence[str | None]) -> list[Settings]:
    """Settings on which the weights of each stage depend."""
    found: list[Settings] = []
    before = None
    for stage, init in zip(config.training.stages, inits, strict=True):
        # The previous stage by name instead of by folder, so that a run can be moved.
        found.append(stage_settings(config, stage, init or before, model_fingerprint(init) if init else None))
        before = f"the end of {stage.name}"
    return found


def _warn_of_unused(config: Config, init: str) -> None:
    """Warn of adapter settings without effect, because the first stage starts from a trained model with its own."""
    if not Path(init).is_dir() or (Path(init) / RECORD).is_file():
        return
    # Imported here: transformers takes seconds to import, and otherwise only the workers need it.
    from favchat.training.stage.starting_model import unused_settings

    for line in unused_settings(config.model, init):
        logger.warning("%s has no effect: training starts from %s", line, init)


def _run_stage(
    config: Config,
    stage: StageConfig,
    init: str | None,
    settings: Settings,
    parent: tracking.Run,
    runs_at_once: int,
    resources: ScalingConfig,
    measure: Measure | None,
    until: int | None,
) -> StageResult | None:
    """Run a stage to its end, or to a step of it; None where that comes before the end."""
    folder = _folder(config, stage)
    record = folder / "stage.json"
    keep_settings(folder / SETTINGS, settings)
    if record.is_file():
        found = json.loads(record.read_text())
        return StageResult(**found | {"model": folder / found["model"]})

    source = StageSource(config, stage, init)
    source.features = stage_features(config, stage, init, source.index.files)
    steps = source.steps
    run = tracking.attempt(f"stage '{stage.name}' is not tracked", lambda: _stage_run(parent, folder, stage))
    tracked = asdict(run) if run else None
    job = StageJob(config, stage, steps, init, source, folder, tracked, runs_at_once, measure, until)
    try:
        with progress_bar(job.step_file, stage.name, steps):
            metrics = _fit(job, resources)
    except BaseException as error:
        if run:
            ended = tracking.status_of(error)
            tracking.attempt("the stage's run is not marked as ended", lambda: run.finish(ended))
        raise
    if until is not None and until < steps:
        return None
    lines = read_steps(job.step_file)
    losses = [main_loss(line) for line in lines]
    tenth = max(1, len(losses) // 10)
    outcome = StageResult(
        stage.name,
        job.model,
        sum(losses[:tenth]) / tenth,
        sum(losses[-tenth:]) / tenth,
        lines[-1]["elapsed"],
        metrics,
    )
    card = model_card(
        config,
        stage,
        steps=steps,
        samples=source.samples_per_epoch,
        losses=(outcome.first_loss, outcome.last_loss),
        metrics=metrics,
        init=init,
    )
    write_text_whole(job.model / "README.md", card)
    write_text_whole(record, json.dumps({**asdict(outcome), "model": job.model.name}, indent=2))
    # A finished stage needs no optimiser states.
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    if run:
        tracking.attempt("the stage's run is not marked as finished", run.finish)
    return outcome


def _folder(config: Config, stage: StageConfig) -> Path:
    return Path(config.training.out or "").absolute() / "stages" / stage.name


def _fit(job: StageJob, scaling: ScalingConfig) -> dict[str, float]:
    """Run a stage's workers until the model is saved; return the last report.

    Checkpoints are not reported to Ray Train, which would copy them and commit them seconds late. Restarted workers
    find the last one in the stage's folder.
    """
    own = job.folder / "ray"
    shutil.rmtree(own, ignore_errors=True)
    trainer = StageTrainer(
        cast(Any, train_stage),  # Ray annotates it as returning None, but hands the return value on
        train_loop_config={"job": job},
        scaling_config=scaling,
        run_config=RunConfig(
            name=job.stage.name,
            storage_path=str(own),
            failure_config=FailureConfig(max_failures=job.config.training.max_failures),
        ),
    )
    try:
        result: Any = trainer.fit()
    except TrainingFailedError as error:
        last = newest(job.checkpoints)
        kept = f"from {last.name}" if last else "from the stage's beginning, since it has no checkpoint yet"
        raise TrainingError(
            f"stage '{job.stage.name}' failed {job.config.training.max_failures + 1} times; the same command goes on "
            f"{kept}. The last error: {error}"
        ) from error
    finally:
        shutil.rmtree(own, ignore_errors=True)
    ended: dict[str, Any] = result.return_value
    if "fault" in ended:
        raise TrainingError(ended["fault"])
    return ended["metrics"]


def _stage_run(parent: tracking.Run, folder: Path, stage: StageConfig) -> tracking.Run:
    """The stage's MLflow run below its parent: the one of an interrupted call, or a new one."""
    record = folder / "run.json"
    if record.is_file():
        run = tracking.Run(**json.loads(record.read_text()))
        if run.uri == parent.uri and run.exists():
            run.resume()
            return run
    run = parent.child(stage.name)
    changed = settings_of(stage, "")
    plain = settings_of(StageConfig(name=stage.name, task=stage.task), "")
    run.log_params({"task": stage.task} | {key: value for key, value in changed.items() if value != plain[key]})
    write_text_whole(record, json.dumps(asdict(run), indent=2))
    return run


def scaling(config: Config, runs_at_once: int = 1, gpus_per_worker: float = 1) -> ScalingConfig:
    """Resources of the workers: GPUs, or an equal share of the CPUs, of which one is reserved for Ray Data.

    Args:
        config: Number and kind of workers.
        runs_at_once: How many trainings share the cluster.
        gpus_per_worker: GPUs of a worker, 1 or less.
    """
    workers = config.training.num_workers
    if config.training.use_gpu:
        return ScalingConfig(num_workers=workers, use_gpu=True, resources_per_worker={"GPU": gpus_per_worker})
    free = max(0.0, ray.cluster_resources().get("CPU", 1.0) - 1)
    return ScalingConfig(num_workers=workers, resources_per_worker={"CPU": min(1.0, free / workers / runs_at_once)})


def _log_results(run: tracking.Run, results: Sequence[StageResult]) -> None:
    """Log the last stage's metrics at the whole curriculum's last step, by which runs are sorted, and its seconds.

    Beside the final losses stand the smallest ones that its reports had.
    """
    steps = int(sum(result.metrics["step"] for result in results))
    metrics = {name: value for name, value in results[-1].metrics.items() if name != "step"}
    reports = read_steps(results[-1].model.parent / REPORTS)
    best = {f"best_{name}": min(line[name] for line in reports) for name in metrics if name.endswith("_loss")}
    run.log_metrics(metrics | best | {"train_seconds": sum(result.seconds for result in results)}, steps)


def _link_tree(source: Path, target: Path) -> None:
    """Replace `target` by a copy of `source` made of hard links."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, copy_function=link_or_copy)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)
