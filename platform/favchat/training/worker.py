"""What each training process does for one stage, under Ray Train with DeepSpeed."""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import ray.train
import torch
import torch.distributed as dist
from transformers import BatchFeature

from favchat.config import StageConfig
from favchat.model.build import build, load
from favchat.model.lora import add_lora, has_lora
from favchat.tracking import Run
from favchat.training.ingest import collate
from favchat.training.job import StageJob
from favchat.training.optimisation import make_optimizer, make_schedule, set_trainable
from favchat.training.validation import Validation


def train_stage(job: StageJob) -> None:
    """Train one stage; see :func:`favchat.training.job.run`."""
    context = ray.train.get_context()
    torch.set_num_threads(
        job.config.training.threads or max(1, (os.cpu_count() or 1) // context.get_local_world_size())
    )

    # DeepSpeed looks at the machine and sets up logging when it is imported: only here, in the worker.
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    on_gpu = job.config.training.use_gpu
    if not on_gpu:
        skip_shared_memory_op()
    deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo", verbose=False)

    model, processor = load(job.init) if job.init else build(job.config.model, job.config.seed)
    torch.manual_seed(job.config.seed + context.get_world_rank())
    if "lora" in job.stage.trainable and not has_lora(model):
        add_lora(model, job.config.model.lora)
    set_trainable(model, job.stage.trainable)
    optimizer = make_optimizer(model, job.stage)
    engine, optimizer, _, schedule = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        lr_scheduler=make_schedule(optimizer, job.stage),
        config=deepspeed_config(job.stage, context.get_world_size()),
    )

    rank, workers, run = context.get_world_rank(), context.get_world_size(), Run(**job.run)
    validation = Validation(job.config, job.stage, processor, rank=rank, workers=workers)
    batches = iterate(job, processor, workers)
    reports = report_steps(job.stage.steps, job.config.training.reports)
    recent: list[float] = []
    for step in range(1, job.stage.steps + 1):
        began = time.perf_counter()
        batch = next(batches).to(engine.device)
        waited = time.perf_counter() - began
        output = engine(**batch)
        engine.backward(output.loss)
        engine.step()
        metrics = {
            "loss": output.loss.item(),
            "language_loss": output.language_loss.item(),
            "balance_loss": output.balance_loss.item(),
            "z_loss": output.z_loss.item(),
            "learning_rate": schedule.get_last_lr()[0],
            "gradient_norm": float(engine.get_global_grad_norm() or 0.0),
            "tokens_per_second": batch["attention_mask"].sum().item() / (time.perf_counter() - began),
            "waiting_share": waited / (time.perf_counter() - began),
        }
        if not torch.isfinite(output.loss):
            raise FloatingPointError(f"stage '{job.stage.name}', step {step}: the loss is {metrics['loss']}")
        if rank == 0:
            run.log_metrics(metrics, step)
            job.progress.put((step, metrics))
        recent.append(metrics["language_loss"])
        if step in reports:
            report = {"step": step, "language_loss": mean_over_workers(recent, engine.device)}
            val_loss = validation.loss(engine.module, engine.device)
            if val_loss is not None:
                report["val_loss"] = val_loss
                if rank == 0:
                    run.log_metrics({"val_loss": val_loss}, step)
            recent.clear()
            if step < job.stage.steps:
                ray.train.report(report)

    weights = gather_weights(engine) if engine.zero_optimization_stage() == 3 else None
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if rank == 0:
            engine.module.save_pretrained(folder, state_dict=weights)
            processor.save_pretrained(folder)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(report, checkpoint=checkpoint)


def report_steps(steps: int, reports: int) -> set[int]:
    """After which steps a stage reports: `reports` of them, or all if they are fewer, the last one included."""
    return {math.ceil(steps * number / reports) for number in range(1, reports + 1)}


def mean_over_workers(values: list[float], device: torch.device) -> float:
    """Mean of every worker's values; each has as many."""
    mean = torch.tensor(values, dtype=torch.float64, device=device).mean()
    dist.all_reduce(mean)
    return mean.item() / dist.get_world_size()


def gather_weights(engine: Any) -> dict[str, torch.Tensor]:
    """The whole weights of a model whose parameters ZeRO-3 has spread over the workers; every rank must call this.

    Returns:
        The state dict on rank 0, an empty one elsewhere.
    """
    import deepspeed

    first = ray.train.get_context().get_world_rank() == 0
    weights = {name: buffer.cpu() for name, buffer in engine.module.state_dict().items()} if first else {}
    for name, parameter in engine.module.named_parameters(remove_duplicate=False):
        with deepspeed.zero.GatheredParameters([parameter]):
            if first:
                weights[name] = parameter.detach().cpu().clone()
    return weights


def iterate(job: StageJob, processor: Any, workers: int) -> Iterator[BatchFeature]:
    """This worker's batches for ever, shuffled anew each epoch by seed and epoch."""
    shard = ray.train.get_dataset_shard("train")
    size = job.stage.batch_size // workers
    epoch = 0
    while True:
        yield from (
            collate(processor, batch)
            for batch in shard.iter_batches(
                batch_size=size,
                batch_format="pyarrow",
                drop_last=True,
                local_shuffle_buffer_size=16 * size,
                local_shuffle_seed=job.config.seed + epoch,
            )
        )
        epoch += 1


def deepspeed_config(stage: StageConfig, workers: int) -> dict[str, Any]:
    """DeepSpeed's configuration: ours for batch size and clipping, then whatever the stage hands through."""
    return {
        "train_batch_size": stage.batch_size,
        "train_micro_batch_size_per_gpu": stage.batch_size // workers,
        "gradient_clipping": stage.max_grad_norm,
        "steps_per_print": 10**9,
        # A torch optimiser under ZeRO is what we mean to use.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        **stage.deepspeed,
    }


def skip_shared_memory_op() -> None:
    """Keep DeepSpeed from compiling its shared-memory collectives on CPUs.

    They need a C++ compiler and 70 s at the first start, and only speed up all-reduces between processes of one
    machine.
    """
    from deepspeed.ops import __compatible_ops__

    __compatible_ops__["deepspeed_shm_comm"] = False
