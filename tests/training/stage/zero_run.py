"""Run by test_deepspeed_engine.py: each stage of ZeRO through four steps on two workers, and from one to another.

The workers are forked from one process, which imports for both.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401 - each engine looks for it, which takes a second
import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes

from favchat.config import load
from favchat.model.build import build
from favchat.training.batches.stage_source import StageSource
from favchat.training.stage import checkpoints
from favchat.training.stage.deepspeed_engine import DeepSpeedEngine
from favchat.training.stage.errors import NonFiniteLossError
from favchat.training.stage.optimizer import make_optimizer, set_trainable
from favchat.training.stage.step import Stepper
from jobs.commands.settings import CONFIGS

STEPS = 4
HALF = 2
WORKERS = 2


def main(rank: int, corpus: str, out: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORKERS)}  # DeepSpeed reads them
    torch.set_num_threads(1)
    config = load(CONFIGS / "tiny.yaml", [f"data.out={corpus}", "model.adapter.dropout=0.1"])
    given = config.training.stages[1].model_copy(update={"accumulate": 2, "learning_rates": {"language_model": 1e-3}})
    dist.init_process_group("gloo", init_method=f"file://{out / 'group'}", rank=rank, world_size=WORKERS)
    source = StageSource(config, given, None)
    shares = [source.read_batches(2 * rank + part, 2 * WORKERS, 0) for part in range(2)]
    batches = [[next(share) for share in shares] for _ in range(STEPS)]
    losses: dict[str, list[float]] = {}
    norms: dict[str, list[float]] = {}

    def run(
        name: str, zero: int, start: Path | None = None, precision: torch.dtype = torch.float32, **more: Any
    ) -> DeepSpeedEngine:
        stage = given.model_copy(update={"deepspeed": {"zero_optimization": {"stage": zero, **more}}})
        model, _ = build(config.model, 0)
        set_trainable(model, stage.trainable)
        begun = 0
        if start:
            checkpoints.load_weights(model, start)
            begun = checkpoints.read_record(start).step
        engine = DeepSpeedEngine(model, make_optimizer(model, stage), stage, precision=precision)
        if start:
            engine.restore(checkpoints.read_states(start))
        stepper = Stepper(engine, stage, STEPS, seed=0, rank=rank)
        losses[name], norms[name] = [], []
        for step in range(begun + 1, STEPS + 1):
            metrics = stepper.step(step, batches[step - 1]).metrics
            losses[name].append(metrics["language_loss"])
            norms[name].append(metrics["gradient_norm"])
            if step == HALF and start is None:
                checkpoints.write(
                    out / name,
                    checkpoints.Record(step, {}),
                    engine.states(),
                    checkpoints.learning_buffers(model),
                    keep=1,
                    rank=rank,
                    workers=WORKERS,
                )
        return engine

    engines = {zero: run(f"zero{zero}", zero) for zero in (0, 2, 3)}
    for before, after in ((0, 3), (2, 0), (3, 2)):
        run(f"zero{before}-then-{after}", after, out / f"zero{before}" / f"step-{HALF:06d}")
    run("bf16", 2, precision=torch.bfloat16)
    offload = {"offload_optimizer": {"device": "cpu"}}
    run("offloaded2", 2, **offload)
    run("offloaded3", 3, **offload)
    run("zero0-then-offloaded2", 2, out / "zero0" / f"step-{HALF:06d}", **offload)
    run("offloaded3-then-0", 0, out / "offloaded3" / f"step-{HALF:06d}")

    # What one worker sees must stop both.
    poisoned = batches[0]
    if rank == 1:
        poisoned[0].inputs["pixel_values_faces"][0, 0] = float("nan")
    stepper = Stepper(engines[2], given, STEPS, seed=0, rank=rank)
    try:
        stepper.step(STEPS, poisoned)
        said = "nothing"
    except NonFiniteLossError as error:
        said = str(error)
    everyone: list[str] = ["", ""]
    dist.all_gather_object(everyone, said)
    everyones_clips: list[list[str]] = [[], []]
    dist.all_gather_object(everyones_clips, poisoned[0].clip_ids)
    if rank == 0:
        (out / "results.json").write_text(
            json.dumps({"losses": losses, "norms": norms, "said": everyone, "poison": everyones_clips[1]})
        )


if __name__ == "__main__":
    start_processes(main, (sys.argv[1], Path(sys.argv[2])), WORKERS, start_method="fork")
