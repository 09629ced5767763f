"""Training measured: what Ray Train and DeepSpeed add to a step, what workers, packing and cached features bring.

    python benchmarks/training.py [CONFIG] [--stage words] [--steps 12] [--rounds 2] [--samples 8] [--out RESULT.md]

Prints Markdown tables, and says on standard error what it is at. The sample clips are prepared and annotated once into
a temporary corpus; a stage of the configuration (default: the nano preset's words) is trained on them, on the CPU,
in the stage's precision, with `--samples` a step. The defaults are meant for less than a quarter of an hour on two
cores.

**Steps.** All ways take the same batches, of cached features, in the same precision, with as many threads of torch in
all:

- a bare loop: forward, backward, clipping, AdamW, the loss read each step;
- the project's step in one process without Ray or DeepSpeed, which also weighs tokens and counts experts;
- `favchat train`: the same step under Ray Train and DeepSpeed, with the step file and MLflow written.

A step's time is the median of all steps but the first two, without waiting for data, which has a column of its own:
the loops get their batches ready made, while the tasks that make those of `favchat train` run beside it, on the same
cores. Rounds alternate, and the best median of each is kept, so that other work on the machine counts little. Two
workers halve each batch and the threads: on one machine they show what the exchange costs, not what a second machine
brings.

**Packing and features** are measured in CPU seconds of this process on one thread, the least of the rounds, on the
samples of half as many steps, summaries and questions half and half, so that their lengths differ. A sample's time is
forward and backward from cached features. Features alone: those of a clip computed from its shard (read, decoded,
prepared, both encoders, written), or read from the cache. A whole step: its batch made, from pictures or from cached
features, and forward, backward and update. The language model's part of it is the same either way. The same from the
cache with either way to compute attention: torch's fused kernel (sdpa), and matrix products (eager).
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import jobs.annotate
import jobs.prepare
from favchat.config import Config, MixedSamplesConfig, StageConfig, load
from favchat.model import FaVChatForConditionalGeneration
from favchat.runtime.environment import quiet_environment
from favchat.runtime.ray_cluster import start
from favchat.training.batches.batch import Batch, Sample
from favchat.training.batches.packing import pack, with_mask
from favchat.training.batches.samples import pad
from favchat.training.batches.shard_reader import ClipReader, open_features
from favchat.training.batches.stage_source import StageSource
from favchat.training.curriculum import train
from favchat.training.features.feature_encoder import Encoder, compute_features
from favchat.training.features.fingerprint import encoders_frozen
from favchat.training.stage.optimizer import make_optimizer
from favchat.training.stage.precision import prepare_model, stage_precision
from favchat.training.stage.starting_model import set_learning, starting_model
from favchat.training.stage.step import Stepper, TorchEngine
from favchat.training.stage.step_log import read_steps
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE

WARM = 2
"""First steps that are not counted."""
ONE, TWO = "favchat train, 1 worker", "favchat train, 2 workers"


@dataclass(frozen=True)
class Steps:
    """The steps of one run."""

    seconds: list[float]
    """Of each step, without waiting for data."""
    waited: list[float] | None = None
    """Seconds that each step waited for data; None where batches were ready made."""

    @property
    def median(self) -> float:
        """Seconds of the middle step."""
        return statistics.median(self.seconds[WARM:])

    @property
    def waiting_share(self) -> float | None:
        """The share of the time that went by waiting."""
        if self.waited is None:
            return None
        return sum(self.waited[WARM:]) / (sum(self.waited[WARM:]) + sum(self.seconds[WARM:]))


@contextmanager
def said(what: str) -> Iterator[None]:
    """Say on standard error what runs now, and how long it took."""
    print(f"{what} ...", flush=True, file=sys.stderr)
    began = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - began:.0f} s", flush=True, file=sys.stderr)


def learner(config: Config, stage: StageConfig) -> FaVChatForConditionalGeneration:
    """The model that a stage begins with, where it is the first one, as its workers prepare it."""
    model, _ = starting_model(config.model, config.seed, None)
    set_learning(model, config.model, stage.trainable, config.seed)
    prepare_model(model, config.training, stage, stage_precision(stage, False))
    return model


def autocast(stage: StageConfig) -> torch.autocast:
    """The precision in which a stage's products are computed."""
    precision = stage_precision(stage, False)
    return torch.autocast("cpu", precision, enabled=precision != torch.float32)


def bare_loop(config: Config, stage: StageConfig, batches: list[Batch]) -> Steps:
    """The steps of a plain loop."""
    model = learner(config, stage)
    optimizer = make_optimizer(model, stage)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    seconds = []
    for batch in batches:
        began = time.perf_counter()
        with autocast(stage):
            output = model(**batch.inputs, use_cache=False)
        output.loss.backward()
        nn.utils.clip_grad_norm_(learning, stage.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        output.loss.item()
        seconds.append(time.perf_counter() - began)
    return Steps(seconds)


def own_stepper(config: Config, stage: StageConfig, steps: int, attention: str | None = None) -> Stepper:
    """The project's step without Ray and DeepSpeed; with another kind of attention than it would choose itself."""
    model = learner(config, stage)
    if attention is not None:
        model.get_submodule("model.language_model").set_attn_implementation(attention)
    engine = TorchEngine(model, make_optimizer(model, stage), stage, precision=stage_precision(stage, False))
    return Stepper(engine, stage, steps, seed=config.seed)


def own_step(config: Config, stage: StageConfig, batches: list[Batch]) -> Steps:
    """The project's steps in this process."""
    stepper = own_stepper(config, stage, len(batches))
    seconds = []
    for number, batch in enumerate(batches, 1):
        began = time.perf_counter()
        stepper.step(number, [batch])
        seconds.append(time.perf_counter() - began)
    return Steps(seconds)


def ray_path(config: Config, out: Path) -> Steps:
    """The steps of `favchat train`, each from the end of the one before."""
    training = config.training.model_copy(update={"out": str(out)})
    train(config.model_copy(update={"training": training}))
    lines = read_steps(out / "stages" / config.training.stages[0].name / "steps.jsonl")
    waited = [line["waiting_share"] * line["seconds"] for line in lines]
    before = [0.0, *(line["elapsed"] for line in lines)]
    whole = [line["elapsed"] - begun for line, begun in zip(lines, before, strict=False)]
    return Steps([step - wait for step, wait in zip(whole, waited, strict=True)], waited)


def step_report(config: Config, features: dict[str, str], steps: int, rounds: int, folder: Path) -> list[str]:
    """The table of steps."""
    stage, threads = config.training.stages[0], torch.get_num_threads()
    batches = list(islice(StageSource(config, stage, None, features).read_batches(0, 1, 0), steps))

    def workers(count: int) -> Callable[[], Steps]:
        update = {"num_workers": count, "threads": max(1, threads // count)}
        settings = config.model_copy(update={"training": config.training.model_copy(update=update)})
        return lambda: ray_path(settings, Path(tempfile.mkdtemp(dir=folder)))

    ways: dict[str, Callable[[], Steps]] = {
        "bare loop": lambda: bare_loop(config, stage, batches),
        "own step, no Ray": lambda: own_step(config, stage, batches),
        ONE: workers(1),
        TWO: workers(2),
    }
    runs: dict[str, list[Steps]] = {way: [] for way in ways}
    for number in range(1, rounds + 1):
        for way, work in ways.items():
            with said(f"round {number} of {rounds}, {way}"):
                runs[way].append(work())
    best = {way: min(found, key=lambda run: run.median) for way, found in runs.items()}
    base, one, two = (best[way].median for way in ("bare loop", ONE, TWO))
    lines = ["| way | ms a step | to the bare loop | goal | waiting for data |", "|---|---|---|---|---|"]
    for way, run in best.items():
        goal, share = "at most 1.10x" if way == ONE else "", run.waiting_share
        waiting = "" if share is None else f"{share:.1%}"
        lines.append(f"| {way} | {1e3 * run.median:.0f} | {run.median / base:.2f}x | {goal} | {waiting} |")
    return [
        *lines,
        "",
        f"In the time of one step of 1 worker, 2 workers with half of its threads each take {one / two:.2f}.",
    ]


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def batch_rates(source: StageSource, steps: int, rounds: int) -> dict[str, float]:
    """Samples a second of CPU time, for several ways to make batches of the same samples."""
    stage, processor, size = source.stage, source.processor, source.stage.batch_size
    samples = [sample for step in range(steps) for sample in source.index.samples(source.schedule.batch(step))]
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
    model = learner(source.config, stage)

    def run(batches: list[dict[str, Any]]) -> None:
        for inputs in batches:
            with autocast(stage):
                loss = model(**inputs, use_cache=False).loss
            loss.backward()
            model.zero_grad()

    run(ways[f"packed, {size} a step"][:1])  # the first pass is slower
    rates = {}
    for way, batches in ways.items():
        with said(way):
            rates[way] = len(samples) / min(cpu_seconds(lambda b=batches: run(b)) for _ in range(rounds))
    return rates


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
    with said("features alone"):
        computed = min(cpu_seconds(compute) for _ in range(rounds)) / stored
        cached = min(cpu_seconds(read) for _ in range(rounds)) / len(index.clip_ids)
    return computed, cached, size / stored


def whole_step(source: StageSource, steps: int, rounds: int, attention: str | None = None) -> float:
    """CPU seconds of a step with its batch, made and taken one after the other."""
    stepper = own_stepper(source.config, source.stage, steps + 1, attention)
    stepper.step(1, [next(source.read_batches(0, 1, 0))])  # the first pass is slower

    def run() -> None:
        for number, batch in enumerate(islice(source.read_batches(0, 1, 0), steps), 1):
            stepper.step(number, [batch])

    with said(
        f"whole steps from {'cached features' if source.features else 'pictures'}, {attention or 'own'} attention"
    ):
        return min(cpu_seconds(run) for _ in range(rounds)) / steps


def data_report(config: Config, steps: int, rounds: int) -> list[str]:
    """The tables of packing and features."""
    threads, stage = torch.get_num_threads(), config.training.stages[0]
    torch.set_num_threads(1)
    mix = [MixedSamplesConfig(task="summary" if stage.task == "qa" else "qa", share=0.5)]
    stage = stage.model_copy(update={"mix": mix})
    source = StageSource(config, stage, None)
    source.features = features = compute_features(config, stage, None, source.index.files)
    rates = batch_rates(source, steps, rounds)
    computed, cached, size = feature_seconds(source, rounds)
    online, offline = (whole_step(StageSource(config, stage, None, given), steps, rounds) for given in (None, features))
    fused, products = (whole_step(source, steps, rounds, attention) for attention in ("sdpa", "eager"))
    torch.set_num_threads(threads)
    base = next(iter(rates.values()))
    clips = statistics.mean(
        len(np.unique(source.index.sample_clip[source.schedule.batch(step)])) for step in range(steps)
    )
    return [
        f"Packing: {steps * stage.batch_size} samples, summaries and questions half and half.",
        "",
        "| batches | samples/s (one CPU thread) | to padded | goal |",
        "|---|---|---|---|",
        *(
            f"| {way} | {rate:.2f} | {rate / base:.2f}x "
            f"| {'at least 1.3x' if way == f'packed, {stage.batch_size} a step' else ''} |"
            for way, rate in rates.items()
        ),
        "",
        f"Features: a clip takes {size:.2f} MB in the cache; {stage.batch_size} samples are about {clips:.1f} clips.",
        "",
        "| one CPU thread | from pictures (ms) | from the cache (ms) | quicker | goal |",
        "|---|---|---|---|---|",
        f"| features of a clip alone | {1e3 * computed:.1f} | {1e3 * cached:.2f} | {computed / cached:.0f}x "
        "| at least 5x |",
        f"| a whole step | {1e3 * online:.0f} | {1e3 * offline:.0f} | {online / offline:.2f}x | |",
        "",
        "The rest of a whole step is the language model's and the adapter's, which no cache of features spares.",
        "",
        f"Attention: a whole step from the cache takes {1e3 * fused:.0f} ms with torch's fused kernel (sdpa), "
        f"{1e3 * products:.0f} ms as matrix products (eager): {fused / products:.2f}x as quick.",
    ]


def prepared(folder: Path, name: str, wanted: str, samples: int, steps: int) -> Config:
    """The configuration with one stage alone, and the sample clips as its corpus."""
    path = CONFIGS / f"{name}.yaml" if (CONFIGS / f"{name}.yaml").is_file() else Path(name)
    given = [
        "data.source.kind=celebv_hq",
        f"data.source.path={SAMPLE / 'clips'}",
        f"data.source.annotations={SAMPLE / 'annotations.json'}",
        f"data.out={folder / 'corpus'}",
        f"tracking.uri=sqlite:///{folder / 'runs.db'}",
        "tracking.registered_model=null",
        "training.val_batches=0",
        "training.init=null",
        f"training.checkpoint_every={steps}",
    ]
    config = load(path, given)
    update = {
        "steps": steps,
        "batch_size": samples,
        "tokens": None,
        "accumulate": 1,
        "init": None,
        "cache_features": True,
    }
    stages = {stage.name: stage for stage in config.training.stages}
    if wanted not in stages:
        raise SystemExit(f"{name} has no stage {wanted}; its stages are {', '.join(stages)}")
    stage = stages[wanted].model_copy(update=update)
    if not stage.packed or not encoders_frozen(stage.trainable):
        raise SystemExit(f"stage {wanted} of {name} is not packed or trains an encoder: there is nothing to compare")
    config = config.model_copy(update={"training": config.training.model_copy(update={"stages": [stage]})})
    with said("preparing and annotating the sample clips"):
        start(config.ray)
        jobs.prepare.run(config)
        jobs.annotate.run(config)
    return config


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="nano", help="a preset or a YAML file")
    parser.add_argument("--stage", default="words", help="one of its stages")
    parser.add_argument("--steps", type=int, default=12, help=f"at least {WARM + 1}")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=8, help="samples a step")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    given = parser.parse_args()
    if given.steps <= WARM or given.rounds < 1 or given.samples < 2 or given.samples % 2:
        parser.error(f"more than {WARM} steps, at least one round and an even number of samples")
    quiet_environment()
    threads, load_before = max(1, os.cpu_count() or 1), os.getloadavg()[0]
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = prepared(folder, given.config, given.stage, given.samples, given.steps)
        stage = config.training.stages[0]
        with said("features of the sample clips"):
            features = compute_features(config, stage, None, StageSource(config, stage, None).index.files)
        lines = [
            f"# Training `{given.config}`",
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {threads} cores, Python {platform.python_version()}, "
            f"torch {version('torch')}, transformers {version('transformers')}, ray {version('ray')}, "
            f"deepspeed {version('deepspeed')}; load of the machine before the run: {load_before:.1f}. "
            f"`python benchmarks/training.py {given.config} --stage {stage.name} --steps {given.steps} "
            f"--rounds {given.rounds} --samples {given.samples}`: trained are {', '.join(stage.trainable)}; products "
            f"are {str(stage_precision(stage, False)).removeprefix('torch.')}; {given.samples} samples a step, packed, "
            f"from cached features of the sample clips; {threads} threads.",
            "",
            *step_report(config, features, given.steps, given.rounds, folder),
            "",
            *data_report(config, max(1, given.steps // 2), given.rounds),
        ]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
