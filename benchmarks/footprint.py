"""What commands take before and beside their work: how a training starts, what memory it, preparing and serving take.

    python benchmarks/footprint.py [CONFIG] [--trees FOLDER...] [--parts train prepare serve] [--set KEY=VALUE...]
        [--model MODEL] [--rounds 2] [--out FILE]

Each part is run in a process of its own with the code of each tree in turn, by default this one; another commit's tree
is a `git worktree` of it. The sample clips are prepared and annotated by each tree itself. A training begins with its
features cached, and is ended after a few steps. Seconds count from the command's start; CPU seconds are those of the
processes that live then, Ray's too. Memory is the sum over the command's processes of their proportional set size (PSS:
what several share is counted once), at its peak; without the page cache.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from jobs.quickstart import SAMPLE

PARTS = ("train", "prepare", "serve")
PATIENCE = 300.0
"""Seconds after which a command is given up."""
LOOK = 0.2
"""Seconds between two looks."""
STEPS = 5
"""Optimiser steps after which a training is ended."""


@dataclass
class Taken:
    """What a command took.

    Attributes:
        wall: Seconds until the event that was waited for.
        cpu: CPU seconds until then.
        memory: Peak of the sum of PSS until the end, MB.
        largest: That of the largest process at that time, MB.
    """

    wall: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    largest: float = 0.0


def favchat(tree: Path, *words: str) -> list[str]:
    """A command line of a tree's own code."""
    return ["env", f"PYTHONPATH={tree / 'platform'}:{tree}", sys.executable, "-m", "jobs.cli", *words]


def watched(tree: Path, command: list[str], event: Callable[[], bool], end: Callable[[], bool] | None) -> Taken:
    """Run a command and watch its processes.

    Args:
        tree: Whose code it is: its folder, in which Python looks first.
        command: The command line.
        event: What is waited for.
        end: When to end the command; None: it ends by itself.
    """
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=tree)
        root, taken, happened = psutil.Process(process.pid), Taken(), False
        while process.poll() is None and time.monotonic() - began < PATIENCE:
            family = [root, *root.children(recursive=True)]
            if not happened and event():
                happened = True
                taken.wall, taken.cpu = time.monotonic() - began, sum(map(_seconds, family))
            memory = [_megabytes(one) for one in family]
            if sum(memory) > taken.memory:
                taken.memory, taken.largest = sum(memory), max(memory)
            if end is not None and end():
                process.send_signal(signal.SIGTERM)
                process.wait(60)
                return taken
            time.sleep(LOOK)
        if process.poll() != 0:
            process.kill()
            said.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{said.read().decode(errors='replace')[-2000:]}")
    return taken


def prepare(tree: Path, config: str, corpus: Path) -> Taken:
    """Prepare the sample clips anew."""
    shutil.rmtree(corpus, ignore_errors=True)
    source = ["data.source.kind=celebv_hq", f"data.source.path={SAMPLE / 'clips'}"]
    source.append(f"data.source.annotations={SAMPLE / 'annotations.json'}")
    command = favchat(tree, "prepare", config, *source, f"data.out={corpus}", "ray.address=local")
    return watched(tree, command, lambda: any(corpus.glob("shards/**/*.parquet")), None)


def train(tree: Path, config: str, corpus: Path, further: list[str]) -> Taken:
    """Begin a training: seconds until its first optimiser step is done."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)

        def steps() -> int:
            return sum(len(file.read_bytes().splitlines()) for file in out.glob("run/stages/*/steps.jsonl"))

        settings = [f"data.out={corpus}", f"training.out={out / 'run'}", f"tracking.uri=sqlite:///{out / 'runs.db'}"]
        command = favchat(tree, "train", config, *settings, *further, "ray.address=local")
        return watched(tree, command, lambda: steps() > 0, lambda: steps() >= STEPS)


def serve(tree: Path, config: str, model: str) -> Taken:
    """Serve a model until it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ready: list[float] = []

    def event() -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2.0)
        except httpx.HTTPError:
            return False
        if answer.status_code == 200:
            ready.append(time.monotonic())
        return bool(ready)

    command = favchat(tree, "serve", config, f"serve.port={port}", f"serve.model={model}", "ray.address=local")
    return watched(tree, command, event, lambda: bool(ready) and time.monotonic() - ready[0] > 2.0)


def measured(
    tree: Path, config: str, parts: list[str], rounds: int, further: list[str], model: str
) -> dict[str, list[Taken]]:
    """All parts with one tree's code."""
    found: dict[str, list[Taken]] = {part: [] for part in parts}
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        first = prepare(tree, config, corpus)
        if "prepare" in parts:
            found["prepare"] = [first, *(prepare(tree, config, corpus) for _ in range(rounds - 1))]
        if "train" in parts:
            command = favchat(tree, "annotate", config, f"data.out={corpus}", "ray.address=local")
            subprocess.run(command, check=True, capture_output=True, cwd=tree)
            train(tree, config, corpus, further)  # makes the features
            found["train"] = [train(tree, config, corpus, further) for _ in range(rounds)]
        if "serve" in parts:
            found["serve"] = [serve(tree, config, model) for _ in range(rounds)]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", default="nano")
    parser.add_argument("--trees", type=Path, nargs="+", default=[Path(__file__).parent.parent])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings of the training")
    parser.add_argument("--model", default="asset:favchat-nano", help="what is served")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    lines = [
        "# Start and memory of commands",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, load of the machine before the "
        f"run {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, `{arguments.config}`; medians of "
        f"{arguments.rounds}.",
        "",
        "| commit | command | until | s | CPU s | peak memory, MB | its largest process, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    until = {"prepare": "the first shard", "train": "the first step", "serve": "ready"}
    for tree in arguments.trees:
        commit = subprocess.run(
            ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
        found = measured(
            tree.absolute(), arguments.config, arguments.parts, arguments.rounds, arguments.set, arguments.model
        )
        for part, all_taken in found.items():
            values = [
                statistics.median(getattr(one, name) for one in all_taken)
                for name in ("wall", "cpu", "memory", "largest")
            ]
            seconds, megabytes = (f"{value:.1f}" for value in values[:2]), (f"{value:.0f}" for value in values[2:])
            lines.append(f"| {commit} | `{part}` | {until[part]} | {' | '.join([*seconds, *megabytes])} |")
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def _megabytes(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:
        return 0.0


if __name__ == "__main__":
    main()
