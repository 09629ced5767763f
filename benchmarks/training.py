"""Training measured: what Ray Train and DeepSpeed add to a step, and what a second worker brings.

    python benchmarks/training.py [CONFIG] [--steps 12] [--rounds 2] [--out RESULT.md]

Prints a Markdown table. The sample clips are prepared and annotated once into a temporary corpus; the questions' stage
of the configuration (default: the nano preset) trains on them, on the CPU. Compared are, on the same batches and with
the same number of threads:

- a bare loop: forward, backward, clipping, AdamW, the loss read each step;
- the project's step in one process without Ray or DeepSpeed, which also weighs tokens and counts experts;
- `favchat train`: the same step under Ray Train and DeepSpeed, with the step file and MLflow written.

A step's time is the median of all steps but the first two, without waiting for data; the loops get their batches ready
made. Rounds alternate, and the best median of each is kept, so that other work on the machine counts little. For
workers the global batch is the same; each has its share of the threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

import jobs.annotate
import jobs.prepare
from favchat.cluster import quiet_environment, start
from favchat.config import Config, StageConfig, load
from favchat.model.build import build
from favchat.training.batches import Batch
from favchat.training.curriculum import batch_source, train
from favchat.training.optimisation import make_optimizer, set_trainable
from favchat.training.progress import read_steps
from favchat.training.step import Stepper, TorchEngine
from jobs.cli import CONFIGS
from jobs.quickstart import SAMPLE

WARM = 2
"""First steps that are not counted."""


def bare_loop(config: Config, stage: StageConfig, batches: list[Batch]) -> list[float]:
    """Seconds of each step of a plain loop."""
    model, _ = build(config.model, config.seed)
    set_trainable(model, stage.trainable)
    optimizer = make_optimizer(model, stage)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    seconds = []
    for batch in batches:
        began = time.perf_counter()
        output = model(**batch.inputs, use_cache=False)
        output.loss.backward()
        nn.utils.clip_grad_norm_(learning, stage.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        output.loss.item()
        seconds.append(time.perf_counter() - began)
    return seconds


def own_step(config: Config, stage: StageConfig, batches: list[Batch]) -> list[float]:
    """Seconds of each of the project's steps in this process."""
    model, _ = build(config.model, config.seed)
    set_trainable(model, stage.trainable)
    stepper = Stepper(TorchEngine(model, make_optimizer(model, stage), stage), stage, len(batches), seed=config.seed)
    seconds = []
    for number, batch in enumerate(batches, 1):
        began = time.perf_counter()
        stepper.step(number, [batch])
        seconds.append(time.perf_counter() - began)
    return seconds


def ray_path(config: Config, out: Path) -> list[float]:
    """Seconds of each step of `favchat train`, from one step's end to the next one's, without waiting for data."""
    training = config.training.model_copy(update={"out": str(out)})
    train(config.model_copy(update={"training": training}))
    lines = read_steps(out / "stages" / config.training.stages[0].name / "steps.jsonl")
    before = [0.0, *(line["elapsed"] for line in lines)]
    return [
        line["elapsed"] - begun - line["waiting_share"] * line["seconds"]
        for line, begun in zip(lines, before, strict=False)
    ]


def best(runs: list[list[float]]) -> float:
    """The best round's median."""
    return min(statistics.median(run[WARM:]) for run in runs)


def prepared(folder: Path, config: str, words: list[str]) -> Config:
    """The configuration with one stage, on the sample clips."""
    path = CONFIGS / f"{config}.yaml" if (CONFIGS / f"{config}.yaml").is_file() else Path(config)
    given = [
        "data.source.kind=celebv_hq",
        f"data.source.path={SAMPLE / 'clips'}",
        f"data.source.annotations={SAMPLE / 'annotations.json'}",
        f"data.out={folder / 'corpus'}",
        f"tracking.uri=sqlite:///{folder / 'runs.db'}",
        "tracking.registered_model=null",
        "training.val_batches=0",
        *words,
    ]
    loaded = load(path, given)
    start(loaded.ray)
    jobs.prepare.run(loaded)
    jobs.annotate.run(loaded)
    return loaded


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="nano")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    quiet_environment()
    threads = max(1, (os.cpu_count() or 1))
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = prepared(folder, given.config, [f"training.threads={threads}"])
        stage = config.training.stages[-1].model_copy(update={"steps": given.steps})
        config = config.model_copy(update={"training": config.training.model_copy(update={"stages": [stage]})})
        stream = batch_source(config, stage, None).batches(0, 1, 0)
        batches = [next(stream) for _ in range(given.steps)]

        def workers(count: int, place: str) -> Callable[[], list[float]]:
            update = {"num_workers": count, "threads": max(1, threads // count)}
            settings = config.model_copy(update={"training": config.training.model_copy(update=update)})
            return lambda: ray_path(settings, folder / f"{place}-{len(list(folder.iterdir()))}")

        ways: dict[str, Callable[[], list[float]]] = {
            "bare loop": lambda: bare_loop(config, stage, batches),
            "own step, no Ray": lambda: own_step(config, stage, batches),
            "favchat train, 1 worker": workers(1, "one"),
            "favchat train, 2 workers": workers(2, "two"),
        }
        runs: dict[str, list[list[float]]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, work in ways.items():
                runs[way].append(work())
    base = best(runs["bare loop"])
    lines = [
        f"# Training, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"`python benchmarks/training.py {given.config} --steps {given.steps} --rounds {given.rounds}` on {threads} "
        f"cores ({platform.machine()}), torch {version('torch')}, ray {version('ray')}, "
        f"deepspeed {version('deepspeed')}; {stage.batch_size} samples a step, "
        f"load average {os.getloadavg()[0]:.1f} at the end.",
        "",
        "| way | ms a step | to the bare loop |",
        "|---|---|---|",
        *(f"| {way} | {1e3 * best(found):.0f} | {best(found) / base:.2f}x |" for way, found in runs.items()),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
