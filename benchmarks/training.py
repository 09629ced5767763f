"""Training measured: what Ray Train and DeepSpeed add to a step, what workers, packing and cached features bring.

    python benchmarks/training.py [CONFIG] [--steps 12] [--rounds 2] [--out RESULT.md]

Prints Markdown tables. The sample clips are prepared and annotated once into a temporary corpus; the questions' stage
of the configuration (default: the nano preset) trains on them, on the CPU. Compared are, on the same batches and with
the same number of threads:

- a bare loop: forward, backward, clipping, AdamW, the loss read each step;
- the project's step in one process without Ray or DeepSpeed, which also weighs tokens and counts experts;
- `favchat train`: the same step under Ray Train and DeepSpeed, with the step file and MLflow written.

A step's time is the median of all steps but the first two, without waiting for data; the loops get their batches ready
made. Rounds alternate, and the best median of each is kept, so that other work on the machine counts little. For
workers the global batch is the same; each has its share of the threads.

Packing and features are measured in CPU seconds of this process on one thread, the best of the rounds, on the samples
of so many steps, summaries and questions half and half. A sample's time is forward and backward from cached features.
The features of a clip are computed from its shard (read, decoded, prepared, both encoders), or read from the cache.
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
from typing import Any

import numpy as np
import torch
from torch import nn

import jobs.annotate
import jobs.prepare
from favchat.cluster import quiet_environment, start
from favchat.config import Config, MixedSamplesConfig, StageConfig, load
from favchat.model.build import build
from favchat.training.batches import Batch, Sample
from favchat.training.curriculum import train
from favchat.training.encoder import Encoder, compute_features
from favchat.training.ingest import pad
from favchat.training.optimisation import make_optimizer, set_trainable
from favchat.training.packing import pack, with_mask
from favchat.training.progress import read_steps
from favchat.training.reading import ClipReader, open_features
from favchat.training.source import StageSource
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


def cpu_seconds(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds of this process, the least of several rounds."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def batch_rates(source: StageSource, steps: int, rounds: int) -> dict[str, float]:
    """Samples a second of CPU time, for several ways to make batches of the same samples."""
    stage, processor, size = source.stage, source.processor, source.stage.batch_size
    samples = [sample for step in range(steps) for sample in source.index.samples(source.plan.batch(step))]
    reader = ClipReader(source.index, source.features, processor.num_frames)
    reader.prepare(np.arange(len(source.index.clip_ids)))
    clips = {str(name): reader.read(number) for number, name in enumerate(source.index.clip_ids)}
    shuffled = [samples[index] for index in np.random.default_rng(0).permutation(len(samples))]
    by_length = sorted(samples, key=lambda sample: len(sample.question) + len(sample.answer))

    def padded(order: list[Sample]) -> list[dict[str, Any]]:
        return [pad(processor, order[at : at + size], clips)[0] for at in range(0, len(order), size)]

    def packed(order: list[Sample], size: int) -> list[dict[str, Any]]:
        return [with_mask(pack(processor, order[at : at + size], clips)[0]) for at in range(0, len(order), size)]

    ways = {
        f"padded, {size} a step": padded(shuffled),
        f"grouped by length, {size} a step": padded(by_length),
        f"packed, {size} a step": packed(samples, size),
        f"packed, {4 * size} a step": packed(samples, 4 * size),
    }
    model, _ = build(source.config.model, source.config.seed)
    set_trainable(model, stage.trainable)

    def run(batches: list[dict[str, Any]]) -> None:
        for inputs in batches:
            model(**inputs, use_cache=False).loss.backward()
            model.zero_grad()

    return {way: len(samples) / cpu_seconds(lambda b=batches: run(b), rounds) for way, batches in ways.items()}


def feature_seconds(source: StageSource, rounds: int) -> tuple[float, float, float]:
    """CPU seconds for the features of a clip computed and read, and MB of a clip in the cache."""
    config, stage, index = source.config, source.stage, source.index
    encoder = Encoder(config, stage, None)

    def compute() -> None:
        for shard in index.files:
            Path(encoder.file(shard)).unlink(missing_ok=True)
            encoder.encode(shard)

    def read() -> None:
        reader = ClipReader(index, source.features, source.processor.num_frames)
        reader.prepare(np.arange(len(index.clip_ids)))
        for clip in range(len(index.clip_ids)):
            reader.read(clip)

    stored = sum(open_features(str(encoder.file(shard))).num_record_batches for shard in index.files)
    size = sum(Path(encoder.file(shard)).stat().st_size for shard in index.files) / 1e6
    computed = cpu_seconds(compute, rounds) / stored
    return computed, cpu_seconds(read, rounds) / len(index.clip_ids), size / stored


def data_report(config: Config, stage: StageConfig, steps: int, rounds: int) -> list[str]:
    """The tables of packing and features."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    mix = [MixedSamplesConfig(task="summary" if stage.task == "qa" else "qa", share=0.5)]
    stage = stage.model_copy(update={"mix": mix})
    source = StageSource(config, stage, None)
    source.features = compute_features(config, stage, None, source.index.files)
    rates = batch_rates(source, steps, rounds)
    computed, read, size = feature_seconds(source, rounds)
    torch.set_num_threads(threads)
    base = next(iter(rates.values()))
    return [
        "",
        "| batches | samples/s (one CPU thread) | to padded |",
        "|---|---|---|",
        *(f"| {way} | {rate:.2f} | {rate / base:.2f}x |" for way, rate in rates.items()),
        "",
        "| features of a clip | CPU ms | |",
        "|---|---|---|",
        f"| computed | {1e3 * computed:.1f} | |",
        f"| from the cache ({size:.2f} MB) | {1e3 * read:.2f} | {computed / read:.0f}x |",
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
        stream = StageSource(config, stage, None).read_batches(0, 1, 0)
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
        tables = data_report(config, stage, given.steps, given.rounds)
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
    text = "\n".join([*lines, *tables]) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
