"""The staged curriculum: one Ray Train run a stage, each starting from the one before."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train import CheckpointConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue

from favchat import tracking
from favchat.config import Config, ConfigError, StageConfig, require
from favchat.data.addresses import absolute
from favchat.files import write_text_whole
from favchat.model_names import resolve_backbones, resolve_model
from favchat.training.ingest import samples
from favchat.training.job import StageJob
from favchat.training.job import run as train_stage
from favchat.training.progress import show_progress


@dataclass(frozen=True)
class StageResult:
    """How a stage ended."""

    name: str
    model: Path
    """A `from_pretrained` directory."""
    first_loss: float
    """Mean loss of the first tenth of the steps."""
    last_loss: float
    """Mean loss of the last tenth of the steps."""
    seconds: float
    metrics: dict[str, float]
    """The last report, see :func:`favchat.training.job.run`."""

    def summary(self) -> str:
        """A few words for a person."""
        val_loss = f", {self.metrics['val_loss']:.2f} held out" if "val_loss" in self.metrics else ""
        return f"{self.name} loss {self.first_loss:.2f} to {self.last_loss:.2f}{val_loss} in {self.seconds:.0f} s"


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    model: Path
    """A `from_pretrained` directory: the last stage's model."""
    stages: list[StageResult]
    run: tracking.Run
    registered: str | None = None
    """The model's name in the registry, such as ``models:/favchat-nano/3``."""

    def summary(self) -> str:
        """One line for a person."""
        stages = "; ".join(stage.summary() for stage in self.stages)
        registered = f", registered as {self.registered}" if self.registered else ""
        return f"trained {stages} -> {self.model}{registered}"


def train(
    config: Config,
    *,
    parent: tracking.Run | None = None,
    callbacks: Sequence[UserCallback] = (),
    runs_at_once: int = 1,
) -> TrainResult:
    """Run every stage of the curriculum on the running Ray cluster.

    A stage that an earlier call with the same settings finished is not run again. With several nodes
    ``training.out`` and ``data.out`` must lie on storage that all of them see.

    Args:
        config: Needs ``data.out``, ``training.out`` and ``training.stages``.
        parent: The MLflow run below which this one is kept.
        callbacks: Get each stage's reports, as Ray Train's ``RunConfig`` hands them over.
        runs_at_once: How many trainings share the cluster's CPUs.

    Raises:
        ConfigError: Something is missing, or ``training.out`` holds a run with other settings.
        AssetError: An embedded default cannot be fetched.
    """
    corpus, folder = require(config, "data.out", "training.out")
    if not config.training.stages:
        raise ConfigError("training.stages is empty: there is nothing to train")
    out, corpus = Path(folder).absolute(), str(Path(corpus).absolute())
    # Workers have working directories of their own.
    config = config.model_copy(update={"data": config.data.model_copy(update={"out": corpus})})
    init = config.training.init
    if init is None:
        config = config.model_copy(update={"model": resolve_backbones(config.model)})
    else:
        init = resolve_model(init)
    data = {stage.name: samples(corpus, stage.task, config.training.split) for stage in config.training.stages}
    for stage in config.training.stages:
        if data[stage.name].count < stage.batch_size:
            raise ConfigError(
                f"stage '{stage.name}': {data[stage.name].count} samples are fewer than batch_size = {stage.batch_size}"
            )

    def begin() -> tracking.Run:
        name = f"train {out.name}"
        started = parent.child(name) if parent else tracking.start_run(config.tracking, name)
        started.log_config(config)
        return started

    run = tracking.kept_run(out / "run.json", config.tracking, begin)
    try:
        results: list[StageResult] = []
        for stage in config.training.stages:
            results.append(
                _run_stage(
                    config,
                    stage,
                    init,
                    data[stage.name].dataset,
                    parent=run,
                    callbacks=callbacks,
                    scaling=scaling(config, runs_at_once),
                )
            )
            init = str(results[-1].model)
        _link_tree(results[-1].model, out / "model")
        registered = _register(config, out, results[-1].model, run)
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish()
    return TrainResult(out / "model", results, run, registered)


def _run_stage(
    config: Config,
    stage: StageConfig,
    init: str | None,
    data: ray.data.Dataset,
    *,
    parent: tracking.Run,
    callbacks: Sequence[UserCallback],
    scaling: ScalingConfig,
) -> StageResult:
    folder = Path(config.training.out or "").absolute() / "stages" / stage.name
    record, key = folder / "stage.json", _fingerprint(config, stage, init)
    if record.is_file():
        found = json.loads(record.read_text())
        if found["key"] != key:
            raise ConfigError(
                f"{folder} holds this stage with other settings; choose another training.out or delete that folder"
            )
        del found["key"]
        return StageResult(**found | {"model": folder / found["model"]})
    # Without its record a stage was cut off.
    shutil.rmtree(folder, ignore_errors=True)

    run = parent.child(stage.name)
    handlers: list[Any] = [*callbacks]  # Ray's annotation still names the class of its first version
    queue = Queue(actor_options={"num_cpus": 0})
    history: list[dict[str, float]] = []
    watcher = threading.Thread(target=show_progress, args=(queue, stage, history), daemon=True)
    watcher.start()
    try:
        trainer = TorchTrainer(
            train_stage,
            train_loop_config={"job": StageJob(config, stage, init, asdict(run), queue)},
            datasets={"train": data},
            scaling_config=scaling,
            run_config=RunConfig(
                name=stage.name,
                storage_path=str(folder.parent),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
                callbacks=handlers,
            ),
        )
        result = trainer.fit()
    except BaseException:
        run.finish("FAILED")
        raise
    finally:
        queue.put(None)
        watcher.join(timeout=10)
        queue.shutdown()
    if result.checkpoint is None or result.metrics is None:
        raise RuntimeError(f"stage '{stage.name}' ended without a model; its log lies in {folder}")
    losses = [metrics["language_loss"] for metrics in history]
    tenth = max(1, len(losses) // 10)
    outcome = StageResult(
        stage.name,
        Path(result.checkpoint.path),
        sum(losses[:tenth]) / tenth,
        sum(losses[-tenth:]) / tenth,
        history[-1]["elapsed"],
        result.metrics,
    )
    run.finish()
    values: dict[str, Any] = {"key": key, **asdict(outcome), "model": outcome.model.name}
    write_text_whole(record, json.dumps(values, indent=2))
    return outcome


def scaling(config: Config, runs_at_once: int = 1) -> ScalingConfig:
    """The workers' resources: a GPU each, or the CPUs left when one is set aside for Ray Data, which feeds them.

    Args:
        config: Number and kind of workers.
        runs_at_once: How many trainings share the cluster.
    """
    workers = config.training.num_workers
    if config.training.use_gpu:
        return ScalingConfig(num_workers=workers, use_gpu=True)
    free = max(0.0, ray.cluster_resources().get("CPU", 1.0) - 1)
    return ScalingConfig(num_workers=workers, resources_per_worker={"CPU": min(1.0, free / workers / runs_at_once)})


def _register(config: Config, out: Path, model: Path, run: tracking.Run) -> str | None:
    """Register the last stage's model, unless an earlier call has done so."""
    name, record = config.tracking.registered_model, out / "registered.json"
    if name is None:
        return None
    done = json.loads(record.read_text()) if record.is_file() else {}
    if (done.get("name"), done.get("model")) == (name, str(model)):
        return str(done["version"])
    version = run.register_model(model, name)
    write_text_whole(record, json.dumps({"name": name, "model": str(model), "version": version}, indent=2))
    return version


def _fingerprint(config: Config, stage: StageConfig, init: str | None) -> str:
    """A hash of the settings that decide what a stage learns."""
    settings = {
        "seed": config.seed,
        "model": config.model.model_dump(mode="json"),
        "stage": stage.model_dump(mode="json"),
        "data": absolute(config.data.out or ""),
        "split": config.training.split,
        "init": init,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _link_tree(source: Path, target: Path) -> None:
    """Make `target` a copy of `source` that shares the files' bytes, replacing an earlier one."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, copy_function=_link)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
