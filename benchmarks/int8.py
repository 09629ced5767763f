"""The language model with int8 weights on a CPU: what it brings, and whether the answers stay.

    python benchmarks/int8.py [MODEL] [--questions 200] [--tokens 12] [--threads 1] [--out]

All linear layers of the language model, its head included, get int8 weights and quantise what enters them as it comes
(dynamic quantisation of PyTorch, fbgemm or oneDNN). Both models run under the server's own engine. The same questions
about the sample clips are asked of both, 16 at a time and by turns; those whose answer the scores give whole are left
out, as no language model is asked. CPU time is the process's own, so that a busy machine disturbs the ratios little.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import os
import platform
import tempfile
import time
import warnings
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from favchat.config import ServeConfig
from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.runtime.ray_cluster import quiet_environment
from favchat.video import VideoError
from jobs.quickstart import SAMPLE
from serve.chat import Chat
from serve.encoder import video_features
from serve.engine import Engine
from serve.store import VideoStore
from serve.view import View

QUESTIONS = (
    "Is the person smiling?",
    "Is the person's mouth open?",
    "Is this a man?",
    "Does the person wear glasses?",
    "What could they be thinking about?",
    "What is in the background?",
    "Where might this have been filmed?",
    "Does the expression change through the video?",
    "What stands out about this person?",
    "What might have happened just before?",
    "Say something about the light.",
    "What kind of video could this be from?",
)
AT_ONCE = 16


def with_int8(model: Any) -> Any:
    """A copy whose language model has int8 weights."""
    quantised = copy.deepcopy(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        to_int8 = partial(torch.ao.quantization.quantize_dynamic, qconfig_spec={torch.nn.Linear}, dtype=torch.qint8)
        quantised.model.language_model = to_int8(quantised.model.language_model)
        head = torch.nn.Sequential(quantised.lm_head)
        quantised.lm_head = to_int8(head)[0]
    return quantised


async def asked(engine: Engine, chats: list[Chat]) -> list[tuple[str, int]]:
    """The answers to all chats at once, and their tokens."""

    async def one(chat: Chat) -> tuple[str, int]:
        pieces = [piece async for piece in engine.generate(chat)]
        return "".join(piece.text for piece in pieces), pieces[-1].completion_tokens

    return await asyncio.gather(*(one(chat) for chat in chats))


def measured(engine: Engine, chats: list[Chat]) -> tuple[list[tuple[str, int]], float]:
    """The answers, and the CPU time that they took."""
    began = time.process_time()
    answers = asyncio.run(asked(engine, chats))
    return answers, time.process_time() - began


def megabytes(model: Any) -> float:
    """Size of a language model's weights when saved."""
    with tempfile.NamedTemporaryFile() as file:
        torch.save([model.model.language_model.state_dict(), model.lm_head.state_dict()], file.name)
        return Path(file.name).stat().st_size / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default=SHIPPED)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=12, help="of an answer at most")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", action="store_true", help="also write benchmarks/results/DATE-MACHINE-int8.md")
    arguments = parser.parse_args()
    quiet_environment()
    torch.set_num_threads(arguments.threads)
    model, processor = load(resolve_model(arguments.model))
    models = {"float32": model, "int8": with_int8(model)}
    sizes = {name: megabytes(one) for name, one in models.items()}
    specification = processor.clip_specification
    detector = specification.make_detector()
    with tempfile.TemporaryDirectory() as folder:
        store = VideoStore(folder, version="none", max_videos=64)
        views = []
        for path in sorted((SAMPLE / "clips").glob("*.mp4")):
            try:
                clip = specification.read(path, detector)[0]
            except VideoError:  # the sample holds one without a face
                continue
            with path.open("rb") as file:
                views.append(View(store.add(file)))
            (features,) = video_features(model, processor, [clip])
            store.write(store.features(views[-1]), partial(save_file, features))
        limits = ServeConfig(max_videos=64, max_ongoing_requests=AT_ONCE)
        engines = {name: Engine(one, processor, store, limits) for name, one in models.items()}
        pairs = [(view, question) for question in QUESTIONS for view in views]
        chats = [
            Chat(
                [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}],
                [view],
                max_tokens=arguments.tokens,
            )
            for view, question in pairs
        ][: arguments.questions]
        same = total = 0
        tokens, seconds = dict.fromkeys(models, 0), dict.fromkeys(models, 0.0)
        alone, alone_tokens = dict.fromkeys(models, 0.0), dict.fromkeys(models, 0)
        for engine in engines.values():
            asyncio.run(engine.warm_up())
        for begin in range(0, len(chats), AT_ONCE):
            found = {}
            for name, engine in engines.items():
                found[name], took = measured(engine, chats[begin : begin + AT_ONCE])
                seconds[name] += took
                tokens[name] += sum(count for _, count in found[name])
            total += len(found["int8"])
            same += sum(one[0] == other[0] for one, other in zip(*found.values(), strict=True))
            print(f"{total} asked, {same} the same", flush=True)
        for chat in chats[-8:]:  # one at a time, their prompts in the cache
            for name, engine in engines.items():
                answers, took = measured(engine, [chat])
                alone[name] += took
                alone_tokens[name] += answers[0][1]
        for engine in engines.values():
            engine.close()
    rate = {name: tokens[name] / seconds[name] for name in models}
    single = {name: alone_tokens[name] / alone[name] for name in models}
    lines = [
        "# int8 weights of the language model",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{version('torch')}, transformers {version('transformers')}; {arguments.model}, threads: {arguments.threads}; "
        f"{total} questions about {len(views)} clips, at most {arguments.tokens} tokens each; "
        f"load of the machine {os.getloadavg()[0]:.0f}.",
        "",
        "| weights | MB | tokens a second of CPU time, 16 at once, prompts included | one at a time, prompts cached |",
        "|---|---|---|---|",
        *(f"| {name} | {sizes[name]:.0f} | {rate[name]:.1f} | {single[name]:.1f} |" for name in models),
        f"| ratio | {sizes['int8'] / sizes['float32']:.2f} | {rate['int8'] / rate['float32']:.2f} | "
        f"{single['int8'] / single['float32']:.2f} |",
        "",
        f"Greedy answers that stayed the same: {same} of {total} ({same / total:.1%}).",
    ]
    print("\n".join(lines))
    if arguments.out:
        name = f"{datetime.now(UTC):%Y-%m-%d}-{os.cpu_count()}core-cpu-int8.md"
        (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
