"""The language model in bfloat16 against float32: how many answers stay the same, and tokens a second.

    python benchmarks/serving_precision.py CORPUS [MODEL] [--split val] [--questions 200] [--threads 2] [--out]

One engine of each precision in this process, without HTTP. Held-out questions on clips of the split are answered
greedily in both: as they are served, where the scores answer most of them, and by the language model alone, which then
writes every word. Tokens a second are those of 1 and of 16 answers at a time, by turns.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import os
import platform
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor

from favchat.config import ServeConfig
from favchat.data.annotate.everyday_writer import subject, yes_no_question
from favchat.data.annotate.grammar import UNKNOWN
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.io.paths import path_of
from favchat.labels.everyday_templates import OPEN, held_out
from favchat.labels.everyday_yes_no import YES_NO
from favchat.runtime.environment import quiet_environment
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip
from serve.chat import Chat
from serve.encoder import video_features
from serve.engine import Engine
from serve.language_model import prepare_language_model
from serve.store import VideoStore
from serve.view import View

PRECISIONS: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
A_CLIP = 4
"""Questions about each clip."""
TOKENS = 48
ROUNDS = 3
AT_ONCE = (1, 16)


def held_out_questions() -> list[str]:
    """Open and yes/no questions in words that were kept out of training."""
    open_ones = [form for forms in OPEN.values() for form in held_out(forms)]
    random = Random(0)
    yes_no = [yes_no_question(name, subject(UNKNOWN, random), random, held_out) for name in YES_NO]
    return [subject(UNKNOWN, random).fill(form, "") for form in open_ones] + yes_no


def clips_of(corpus: str, split: str, count: int) -> Iterator[Any]:
    """The first so many clips of a split."""
    for file in parquet_files(path_of(corpus) / SHARDS):
        for row in read_table(file, columns=[*CLIP_COLUMNS, "split"]).to_pylist():
            if row["split"] == split and count:
                count -= 1
                yield row


async def texts(engine: Engine, chats: list[Chat], at_once: int) -> list[str]:
    """The greedy answer to each chat."""
    places = asyncio.Semaphore(at_once)

    async def one(chat: Chat) -> str:
        async with places:
            return "".join([piece.text async for piece in engine.generate(chat)])

    return list(await asyncio.gather(*map(one, chats)))


async def speed(engine: Engine, prompts: list[list[int]]) -> float:
    """Tokens a second of answers of `TOKENS` tokens to all prompts at once; the prompts' own time counts."""

    async def one(ids: list[int]) -> int:
        written: list[int] = []
        async for tokens, _ in engine.tokens(ids, TOKENS, None):
            written = tokens
        return len(written)

    began = time.perf_counter()
    count = sum(await asyncio.gather(*map(one, prompts)))
    return count / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus")
    parser.add_argument("model", nargs="?", default=SHIPPED)
    parser.add_argument("--split", default="val")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", action="store_true", help="also write benchmarks/results/DATE-MACHINE-precision.md")
    arguments = parser.parse_args()
    quiet_environment()
    torch.set_num_threads(arguments.threads)
    model, processor = load(resolve_model(arguments.model))
    rows = clips_of(arguments.corpus, arguments.split, -(-arguments.questions // A_CLIP))
    clips = [read_clip(row, processor.num_frames) for row in rows]
    features: list[dict[str, Tensor]] = [video_features(model, processor, [clip])[0] for clip in clips]
    views = [View(f"{number}") for number in range(len(clips))]
    questions = held_out_questions()
    chats = []
    for number, view in enumerate(views):
        for place in range(A_CLIP):
            text = questions[(number * A_CLIP + place) % len(questions)]
            content = [{"type": "video"}, {"type": "text", "text": text}]
            chats.append(Chat([{"role": "user", "content": content}], [view], max_tokens=TOKENS))
    engines: dict[str, Engine] = {}
    found: dict[str, dict[str, list[str]]] = {"as served": {}, "by the language model alone": {}}
    for precision in PRECISIONS:
        own = copy.deepcopy(model)
        config = ServeConfig(max_videos=len(views) + 1, precision=precision)
        prepare_language_model(own, config)
        engine = engines[precision] = Engine(own, processor, VideoStore("", version="none", max_videos=1), config)
        asyncio.run(engine.warm_up())
        for view, one in zip(views, features, strict=True):
            engine.pool.acquire(view, (one["tokens"], one["levels"]))
        found["by the language model alone"][precision] = asyncio.run(texts(engine, chats, 8))
        engine.scores = {view: one["scores"].tolist() for view, one in zip(views, features, strict=True)}
        found["as served"][precision] = asyncio.run(texts(engine, chats, 8))
    lines = [
        "# The language model in bfloat16",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}; "
        f"{arguments.model}, threads: {arguments.threads}; load of the machine {os.getloadavg()[0]:.1f}.",
        "",
        f"| greedy answers to held-out questions about clips of {arguments.split} | questions | the same text |",
        "|---|---|---|",
    ]
    for kind, by_precision in found.items():
        pairs = list(zip(*(by_precision[precision] for precision in PRECISIONS), strict=True))
        same = sum(one == other for one, other in pairs)
        lines.append(f"| {kind} | {len(pairs)} | {same / len(pairs):.3f} |")
        for chat, (one, other) in zip(chats, pairs, strict=True):
            if one != other:
                print(f"{kind}: {chat.messages[0]['content'][1]['text']} {one!r} {other!r}")
    lines += ["", "| tokens/s | fp32 | bf16 | ratio |", "|---|---|---|---|"]
    for engine in engines.values():
        engine.ends = {len(processor.tokenizer)}  # no token has this id: all answers are equally long
    for at_once in AT_ONCE:
        rates: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        for _ in range(ROUNDS):
            for precision, engine in engines.items():
                spans = [engine.pool.acquire(chats[n * A_CLIP % len(chats)].videos[0]) for n in range(at_once)]
                asked = [engine.prompt(chats[n * A_CLIP % len(chats)], [span]) for n, span in enumerate(spans)]
                rates[precision].append(asyncio.run(speed(engine, asked)))
        low, high = (statistics.median(rates[precision]) for precision in PRECISIONS)
        lines.append(f"| {at_once} at a time | {low:.1f} | {high:.1f} | {high / low:.2f}x |")
    for engine in engines.values():
        engine.close()
    print("\n".join(lines))
    if arguments.out:
        name = f"{datetime.now(UTC):%Y-%m-%d}-{os.cpu_count()}core-cpu-precision.md"
        (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
