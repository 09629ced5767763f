"""What the time to the first token is made of, of a first and of a second question about a video.

    python benchmarks/first_token.py [MODEL] [--threads 1] [--pages 16 8 4] [--out]

In this process, without HTTP and without Ray's ways between processes: reading the video (decoding, faces, track), the
encoders with the adapter, the prompt (chat template and tokeniser), the engine until its first token, and a further
token. Of the second question the prompt's beginning, with the video, is in the engine's cache in whole pages; `--pages`
tries several sizes of those by turns. CPU time of the process, medians, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from serving import QUESTIONS

import serve.engine
from favchat.config import ServeConfig
from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.runtime.ray_cluster import quiet_environment
from jobs.quickstart import SAMPLE
from serve.chat import Chat
from serve.encoder import video_features
from serve.engine import Engine
from serve.store import VideoStore
from serve.view import View

CLIPS = ("pexels_0", "capture_0", "franck_1", "pyfeat_0")


def timed(spent: dict[str, list[float]], name: str, work: Callable[[], Any]) -> Any:
    """What `work` gives; its CPU time is noted in milliseconds."""
    began = time.process_time()
    result = work()
    spent[name].append(1e3 * (time.process_time() - began))
    return result


async def answered(engine: Engine, chat: Chat) -> tuple[float, float, int]:
    """CPU milliseconds to the first token and of a further one, and the prompt's tokens that were not cached."""
    began, first, uncached, piece = time.process_time(), 0.0, 0, None
    async for piece in engine.generate(chat):
        uncached = piece.prompt_tokens - piece.cached_tokens
        if piece.completion_tokens and not first:
            first = 1e3 * (time.process_time() - began)
    more = max(piece.completion_tokens - 1, 1) if piece else 1
    return first, (1e3 * (time.process_time() - began) - first) / more, uncached


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default=SHIPPED)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pages", type=int, nargs="+", default=[16, 8, 4], help="tokens of a page")
    parser.add_argument("--out", action="store_true", help="also write benchmarks/results/DATE-MACHINE-first-token.md")
    arguments = parser.parse_args()
    quiet_environment()
    torch.set_num_threads(arguments.threads)
    model, processor = load(resolve_model(arguments.model))
    specification = processor.clip_specification
    detector = specification.make_detector()
    spent: dict[str, list[float]] = defaultdict(list)
    uncached: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = VideoStore(folder, version="none", max_videos=8)
        engines = {}
        for size in arguments.pages:
            serve.engine.PAGE_TOKENS = size
            engines[size] = Engine(copy.deepcopy(model), processor, store, ServeConfig(max_videos=8))
            asyncio.run(engines[size].warm_up())
        specification.read(SAMPLE / "clips" / f"{CLIPS[0]}.mp4", detector)
        for name in CLIPS:
            path = SAMPLE / "clips" / f"{name}.mp4"
            clip = timed(spent, "reading", partial(specification.read, path, detector))[0]
            (features,) = timed(spent, "encoding", partial(video_features, model, processor, [clip]))
            with path.open("rb") as file:
                view = View(store.add(file))
            store.derived.write(store.derived.features(view), partial(save_file, features))
            contents = [[{"type": "video"}, {"type": "text", "text": question}] for question in QUESTIONS]
            chats = [Chat([{"role": "user", "content": content}], [view], max_tokens=4) for content in contents]
            some = engines[arguments.pages[0]]
            for number, chat in enumerate(
                one for one in chats if some.start(one, features["scores"].tolist())[0] is None
            ):
                for size, engine in engines.items():
                    kind = f"{'second' if number else 'first'} {size}"
                    first, more, uncached[kind] = asyncio.run(answered(engine, chat))
                    spent[kind].append(first)
                    spent[f"more {size}"].append(more)
                span = some.pool.acquire(view)
                timed(spent, "prompt", partial(some.prompt, chat, [span]))
                some.pool.release(view)
        for engine in engines.values():
            engine.close()
    middle = {name: statistics.median(values) for name, values in spent.items()}
    lines = [
        "# Time to the first token",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{version('torch')}, transformers {version('transformers')}; {arguments.model}, threads: {arguments.threads}; "
        f"load of the machine {os.getloadavg()[0]:.0f}. Milliseconds of CPU time.",
        "",
        "| tokens of a page | reading the video | encoders | prompt | first question's first token "
        "| second's, of that computed | a further token | second / first |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in arguments.pages:
        first = middle["reading"] + middle["encoding"] + middle[f"first {size}"]
        second = middle[f"second {size}"]
        lines.append(
            f"| {size} | {middle['reading']:.0f} | {middle['encoding']:.0f} | {middle['prompt']:.1f} | "
            f"{middle[f'first {size}']:.0f}, with the rest {first:.0f} | "
            f"{second:.0f}, {uncached[f'second {size}']} tokens | {middle[f'more {size}']:.0f} | {second / first:.2f} |"
        )
    print("\n".join(lines))
    if arguments.out:
        name = f"{datetime.now(UTC):%Y-%m-%d}-{os.cpu_count()}core-cpu-first-token.md"
        (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
