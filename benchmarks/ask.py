"""What `favchat ask` takes beyond its work: the command against decoding, detecting, encoding and generating alone.

    python benchmarks/ask.py [MODEL] [VIDEO] [--rounds 3] [--out RESULT.md]

MODEL is by default the shipped one, VIDEO a sample clip. The command and the imports run in processes of their own,
the parts in this one, all in turn. Times are CPU seconds (user and system) of one thread of torch, medians over the
rounds; wall seconds of the command stand beside them, which other work on the machine lengthens.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.model.generation import answer
from jobs.quickstart import SAMPLE

QUESTION = "What does the person look like?"


def process(*words: str) -> tuple[float, float]:
    """CPU and wall seconds of a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - began


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and the CPU seconds of this process that it took."""
    began = time.process_time()
    return work(), time.process_time() - began


def once(model: str, video: str) -> dict[str, float]:
    """All measurements, once."""
    found = {}
    found["`favchat ask`"], found["`favchat ask`, wall"] = process("-m", "jobs.cli", "ask", model, video, QUESTION)
    for module in ("torch", "transformers.modeling_utils", "favchat.model"):
        found[f"`import {module}`"], _ = process("-c", f"import {module}")
    (network, processor), found["loading the model"] = timed(lambda: load(model))
    specification = processor.clip_specification
    # A fresh detector each time: the command loads its network too.
    clips, found["decode and detect"] = timed(lambda: specification.read(video, specification.make_detector()))
    _, found["encode and generate"] = timed(lambda: answer(network, processor, clips[:1], [QUESTION]))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default=SHIPPED)
    parser.add_argument("video", nargs="?", default=str(SAMPLE / "clips" / "pexels_0.mp4"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = resolve_model(arguments.model)
    rounds = [once(model, arguments.video) for _ in range(arguments.rounds)]
    middle = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    work = middle["decode and detect"] + middle["encode and generate"]
    lines = [
        "# Asking about one clip",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}; load of the "
        f"machine {os.getloadavg()[0]:.1f}. CPU seconds, one thread, medians of {arguments.rounds} in turn.",
        "",
        "| | s | to decode, detect, encode and generate |",
        "|---|---|---|",
        *(f"| {name} | {seconds:.2f} | {seconds / work:.2f}x |" for name, seconds in middle.items()),
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
