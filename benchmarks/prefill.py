"""How long a long prompt holds others up, by the size of the parts in which it is computed.

    python benchmarks/prefill.py [MODEL] [--sizes 128 256 512 1024] [--words 3000] [--out]

While an answer is written, a prompt of some thousand tokens comes. For each size of a part: the time between two tokens
of the answer before and during that prompt, and the time until the prompt's own first token. The sizes are measured in
turn, several times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

import serve.engine
from favchat.config import ServeConfig
from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.runtime.ray_cluster import quiet_environment
from serve.chat import Chat
from serve.engine import Engine
from serve.store import VideoStore

ROUNDS = 3
BEFORE = 8
"""Tokens that are written before the long prompt comes."""


def chat(text: str, tokens: int) -> Chat:
    """A chat about no video."""
    return Chat([{"role": "user", "content": text}], [], max_tokens=tokens)


async def measure(engine: Engine, text: str) -> tuple[list[float], list[float], float, int]:
    """Seconds between tokens before and during the long prompt, seconds to its first token, and its tokens."""
    came: list[float] = []
    long_began = long_came = 0.0
    size = 0

    async def long_prompt() -> None:
        nonlocal long_began, long_came, size
        long_began = time.perf_counter()
        async for piece in engine.generate(chat(text, 1)):
            size = piece.prompt_tokens
        long_came = time.perf_counter()

    task = None
    answers = engine.tokens(engine.prompt(chat("Tell a story.", 8), []), 400, None)
    async for _ in answers:
        came.append(time.perf_counter())
        if len(came) == BEFORE:
            task = asyncio.create_task(long_prompt())
        if long_came:
            break
    await answers.aclose()
    assert task is not None  # noqa: S101 - the answer is longer than what comes before the prompt
    await task
    gaps = [(end, end - begin) for begin, end in zip(came, came[1:], strict=False)]
    before = [gap for end, gap in gaps if end <= long_began]
    during = [gap for end, gap in gaps if long_began < end]
    return before, during, long_came - long_began, size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default=SHIPPED)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--words", type=int, default=3000, help="of the long prompt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", action="store_true", help="also write benchmarks/results/DATE-MACHINE-prefill.md")
    arguments = parser.parse_args()
    quiet_environment()
    torch.set_num_threads(arguments.threads)
    load_before = os.getloadavg()[0]
    model, processor = load(resolve_model(arguments.model))
    model.generation_config.eos_token_id = len(processor.tokenizer)  # no token has this id: answers have a fixed length
    found: dict[int, list[tuple[list[float], list[float], float]]] = {size: [] for size in arguments.sizes}
    tokens = 0
    with tempfile.TemporaryDirectory() as folder:
        store = VideoStore(folder, version="none", max_videos=1)
        for turn in range(ROUNDS):
            for size in arguments.sizes:
                serve.engine.MAX_BATCH_TOKENS = size
                engine = Engine(model, processor, store, ServeConfig(max_videos=1))
                asyncio.run(engine.warm_up())
                # Another prompt each time: a known one would be found in the cache.
                prompt = f"{turn} {size} " + "word and " * (arguments.words // 2)
                calm, beside, first, tokens = asyncio.run(measure(engine, prompt))
                found[size].append((calm, beside, first))
                engine.close()
    cores = os.cpu_count() or 1
    lines = [
        "# A long prompt beside an answer",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {cores} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}, transformers {version('transformers')}; {arguments.threads} thread(s), a prompt of "
        f"{tokens} tokens, {ROUNDS} rounds; load of the machine before the run: {load_before:.1f}.",
        "",
        "| tokens of a part | ms a token before | during, median | during, longest | s to the prompt's first token |",
        "|---|---|---|---|---|",
    ]
    for size, rounds in found.items():
        before = statistics.median(gap for one in rounds for gap in one[0])
        during = [gap for one in rounds for gap in one[1]]
        first = statistics.median(one[2] for one in rounds)
        longest = statistics.median(max(one[1]) for one in rounds)
        middle = statistics.median(during)
        lines.append(f"| {size} | {1e3 * before:.0f} | {1e3 * middle:.0f} | {1e3 * longest:.0f} | {first:.1f} |")
    print("\n".join(lines))
    if arguments.out:
        name = f"{datetime.now(UTC):%Y-%m-%d}-{cores}core-cpu-prefill.md"
        (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
