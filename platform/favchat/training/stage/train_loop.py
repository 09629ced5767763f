"""The training loop of one worker for one stage, under Ray Train with DeepSpeed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from favchat.config import ConfigError
from favchat.data.corpus.row_settings import corpus_specification
from favchat.model import FaVChatForConditionalGeneration
from favchat.runtime.worker_threads import shared_threads
from favchat.training.batches.attribute_labels import log_prior, read_labels
from favchat.training.batches.batch import Batch
from favchat.training.batches.index import read_index
from favchat.training.stage import checkpoints
from favchat.training.stage.collectives import all_gather_objects
from favchat.training.stage.deepspeed_engine import DeepSpeedEngine
from favchat.training.stage.job import StageJob, report_steps
from favchat.training.stage.metrics_recorder import Recorder
from favchat.training.stage.optimizer import make_optimizer
from favchat.training.stage.precision import prepare_model, stage_precision
from favchat.training.stage.starting_model import saved_settings, set_learning, starting_model
from favchat.training.stage.step import Stepper
from favchat.training.stage.validation import Validation, evaluating


def train_stage(job: StageJob) -> dict[str, float]:
    """Train one stage, or a part of it; see :func:`favchat.training.stage.worker.run`.

    Returns:
        The last report.
    """
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    training, stage = job.config.training, job.stage
    torch.set_num_threads(training.threads or shared_threads(context.get_local_world_size() * job.runs_at_once))
    device = ray.train.torch.get_device() if training.use_gpu else torch.device("cpu")
    precision = stage_precision(stage, training.use_gpu)

    last = checkpoints.newest(job.checkpoints)
    record = checkpoints.read_record(last) if last else checkpoints.Record(0, {})
    begun = record.step
    model, processor = starting_model(job.config.model, job.config.seed, job.init)
    if stage.frames is not None:
        processor.num_frames = stage.frames
    # Inference must read videos with the settings of the training corpus.
    processor.clip_specification = corpus_specification(job.config.data.out or "")
    set_learning(model, job.config.model, stage.trainable, job.config.seed)
    if stage.task == "attributes":
        set_prior(model, job)
    model = model.to(device)
    prepare_model(model, training, stage, precision)
    if last:
        checkpoints.load_weights(model, last)
    optimizer = make_optimizer(model, stage)
    engine = DeepSpeedEngine(model, optimizer, stage, precision=precision, on_gpu=training.use_gpu)
    # All workers take the same one: shared storage may show a new checkpoint to some workers earlier than to others.
    if len(set(all_gather_objects(begun))) > 1:
        raise RuntimeError(f"stage '{stage.name}': the workers see different checkpoints in {job.checkpoints}")
    if last:
        engine.restore(checkpoints.read_states(last))

    stepper = Stepper(engine, stage, job.steps, seed=job.config.seed, rank=rank)
    validation = Validation(job.config, stage, processor, rank=rank, workers=workers)
    batches = shares(job, rank, workers, begun)
    reports = report_steps(job.steps, training.reports, stage.validate_every)
    report: dict[str, float] = {"step": begun}
    end = min(job.until or job.steps, job.steps)
    with Recorder(job, rank, begun, record.unreported) as recorder:
        for step in range(begun + 1, end + 1):
            began = time.perf_counter()
            share = next(batches)
            waited = time.perf_counter() - began
            result = stepper.step(step, share)
            recorder.step(step, result, time.perf_counter() - began, waited)
            if step in reports:
                loss = "attribute_loss" if stage.task == "attributes" else "language_loss"
                report = {"step": step, loss: recorder.mean_loss()}
                with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                    val_loss = validation.loss(engine.module, engine.device)
                    # Weights partitioned by ZeRO-3 need all workers.
                    asking = rank == 0 or engine.zero_stage == 3
                    answers = validation.answers(engine.module) if asking else {}
                    if job.measure and asking:
                        with evaluating(engine.module):
                            report |= job.measure(engine.module, processor)
                if val_loss is not None:
                    report["val_loss"] = val_loss
                recorder.validation(report, answers)
                ray.train.report(report)
            if step < job.steps and (step % training.checkpoint_every == 0 or step == end):
                checkpoints.write(
                    job.checkpoints,
                    checkpoints.Record(step, saved_settings(job.config, stage, job.init), recorder.unreported()),
                    engine.states(),
                    checkpoints.learning_buffers(engine.module),
                    keep=training.keep,
                    rank=rank,
                    workers=workers,
                )
    if end == job.steps:
        save_model(job, engine, processor, precision)
    return report


def set_prior(model: FaVChatForConditionalGeneration, job: StageJob) -> None:
    """Set the model's attribute priors to the label frequencies in the training clips.

    Raises:
        ConfigError: The model predicts no attributes.
    """
    head = model.model.adapter.attribute_head
    if head is None:
        raise ConfigError(
            f"stage '{job.stage.name}': task = attributes, but the model has none; name them in "
            "model.adapter.attributes"
        )
    index = read_index(job.config.data.out or "", [job.stage], job.config.training.split)
    labels = read_labels(job.config.data.out or "", list(index.clip_ids), model.config.adapter_config.attributes)
    prior = torch.from_numpy(log_prior(labels))
    # Emotions are mutually exclusive, a softmax, whose logits already learn the frequencies.
    prior[head.emotions] = 0.0
    head.get_buffer("prior").copy_(prior)


def shares(job: StageJob, rank: int, workers: int, begun: int) -> Iterator[list[Batch]]:
    """Yield this worker's share of each global batch after step `begun`, as `accumulate` micro-batches.

    Micro-batches are the shares that `accumulate` times as many workers would get, so that results do not depend on it.
    """
    parts = job.stage.accumulate
    streams = [job.source.batches(rank * parts + part, workers * parts, begun) for part in range(parts)]
    return (list(share) for share in zip(*streams, strict=True))


def save_model(job: StageJob, engine: DeepSpeedEngine, processor: Any, precision: torch.dtype) -> None:
    """Save the finished model atomically in the stage's folder; a collective call.

    Raises:
        CheckpointError: It cannot be written.
    """
    weights = engine.weights()
    partial = job.folder / ".model.partial"

    def write() -> None:
        shutil.rmtree(partial, ignore_errors=True)
        kept = {name: value.to(precision) if value.is_floating_point() else value for name, value in weights.items()}
        # With save_original_format transformers would save the weights under peft's names where LoRA was loaded.
        engine.module.save_pretrained(partial, state_dict=kept, save_original_format=False)
        _set_dtype(partial / "config.json", precision)
        processor.save_pretrained(partial)
        shutil.rmtree(job.model, ignore_errors=True)
        os.replace(partial, job.model)

    checkpoints.run_collective(
        write if weights else None, f"cannot write the model {job.model}", job.checkpoints, partial
    )


def _set_dtype(config: Path, precision: torch.dtype) -> None:
    """Write the weights' dtype into a saved config, since transformers writes that of the model's first parameter."""
    settings = json.loads(config.read_text())
    settings["dtype"] = str(precision).removeprefix("torch.")
    config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
