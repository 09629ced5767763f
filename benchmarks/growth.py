"""How the cost of preparing, annotating, training, evaluating and serving grows with what there is to do.

    python benchmarks/growth.py [PRESET] [--least 2] [--repeats 3] [--out RESULT.md]

Each is measured at four sizes, each twice the one before; `--least` is the smallest number of frames, of experts, of
questions, of questions at once and of clips (annotated clips: a hundred times as many). Everything runs in this process
on one thread, with the preset's untrained model; times are CPU seconds, the least of several runs, and the sizes are
taken in turn. "Power" is the exponent p of the best fit of size to the power of p: 1 is a straight line through zero,
less means that a fixed part stands beside what grows.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import cv2
import numpy as np
import torch

from benchmarks.annotate import clips as labelled_clips
from favchat.config import load
from favchat.data.annotate.rows import table_of
from favchat.data.annotate.template_writer import TemplateWriter, balanced
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.asking.local_backend import LocalModel
from favchat.model.build import build
from favchat.training.batches.samples import StoredClip
from favchat.video import ClipSpecification, process_clip
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE
from serve.chat import Chat
from serve.engine import Engine
from serve.store import VideoStore
from serve.view import View

Work = Callable[[], object]
DOUBLINGS = 4
QUESTIONS = [f"Is the number {number} in this video?" for number in range(64)]


def stored_clip(seed: int) -> StoredClip:
    """A clip of noise."""
    random = np.random.default_rng(seed)
    return StoredClip(
        frames=random.integers(0, 256, (8, 144, 256, 3), dtype=np.uint8),
        faces=random.integers(0, 256, (8, 160, 160, 3), dtype=np.uint8),
        timestamps=np.arange(8) / 8,
        landmarks=random.random((8, 5, 2)).astype(np.float32),
        visible=np.ones(8, dtype=bool),
    )


def preparing(sizes: Sequence[int]) -> list[Work]:
    """Frames of a clip: decoded, searched for a face, tracked, aligned."""
    detector = ClipSpecification().make_detector(threads=1)
    video = SAMPLE / "clips" / "pexels_0.mp4"
    return [lambda size=size: process_clip(video, detector, fps=1000.0, max_frames=size) for size in sizes]


def annotating(sizes: Sequence[int]) -> list[Work]:
    """Clips whose labels become questions, balanced, as a table."""
    writer = TemplateWriter()
    corpora = [labelled_clips(100 * size, 1 / 3, Random(0)) for size in sizes]
    return [
        lambda corpus=corpus: table_of(balanced([row for clip in corpus for row in writer.rows(clip)], 0))
        for corpus in corpora
    ]


def training(preset: str, sizes: Sequence[int]) -> list[Work]:
    """Experts of the adapter: forward and backward of four clips with a question each, encoders frozen."""
    works = []
    for size in sizes:
        settings = load(CONFIGS / f"{preset}.yaml", [f"model.adapter.num_experts={size}"]).model
        model, processor = build(settings)
        model.train()
        for encoder in (model.model.vision_model, model.model.face_model):
            if encoder is not None:
                encoder.requires_grad_(False)
        texts = [processor.prompt(question) + "Yes." for question in QUESTIONS[:4]]
        inputs = processor(text=texts, videos=[stored_clip(seed) for seed in range(4)])

        ids = inputs["input_ids"]
        inputs["labels"] = ids.masked_fill(model.model.is_visual(ids) | (inputs["attention_mask"] == 0), -100)

        def step(model: torch.nn.Module = model, inputs: dict[str, torch.Tensor] = inputs) -> None:
            model.zero_grad()
            model(**inputs).loss.backward()

        works.append(step)
    return works


def evaluating(preset: str, sizes: Sequence[int]) -> tuple[list[Work], list[Work]]:
    """Questions about two clips, and clips with two questions each: likelihoods and words of four tokens."""
    with tempfile.TemporaryDirectory() as folder:
        for part in build(load(CONFIGS / f"{preset}.yaml").model):
            part.save_pretrained(folder)
        model = LocalModel(folder, max_new_tokens=4)

    def ask(clips: int, questions: int) -> Work:
        items = [
            [EvalQuestion("t", "p", str(clip), "i", "val", "likelihood", text, ("Yes", "No")) for text in QUESTIONS]
            for clip in range(clips)
        ]
        some = [one[:questions] for one in items]
        stored = [stored_clip(seed) for seed in range(clips)]

        def work() -> None:
            visual = model.visual(stored)
            model.likelihoods(visual, some)
            model.texts(visual, some)

        return work

    return [ask(2, size) for size in sizes], [ask(size, 2) for size in sizes]


@contextmanager
def serving(preset: str, sizes: Sequence[int]) -> Iterator[list[Work]]:
    """Questions at once to the engine of `favchat serve`, about one video each that shows nothing: 16 tokens each."""
    config = load(CONFIGS / f"{preset}.yaml")
    model, processor = build(config.model)
    model.generation_config.eos_token_id = len(processor.tokenizer)  # never told, so that all answers are as long
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            model, processor, VideoStore(folder, version="", max_videos=config.serve.max_videos), config.serve
        )
        answers = 0

        async def answer(view: View) -> None:
            nonlocal answers
            answers += 1  # another question each time, so that only the video's prefix is cached
            content = [{"type": "video"}, {"type": "text", "text": f"What is number {answers}?"}]
            span = engine.pool.acquire(view, engine.pool.blank())
            try:
                ids = engine.prompt(Chat([{"role": "user", "content": content}], [view]), [span])
                async for _ in engine.tokens(ids, 16, None):
                    pass
            finally:
                engine.pool.release(view)

        async def together(count: int) -> None:
            await asyncio.gather(*[answer(View(f"video {number}")) for number in range(count)])

        try:
            yield [lambda size=size: asyncio.run(together(size)) for size in sizes]
        finally:
            engine.close()


def measured(works: Sequence[Work], repeats: int) -> list[float]:
    """CPU seconds of each, the least of several runs in turn."""
    best = [float("inf")] * len(works)
    works[0]()  # what is loaded at the first call
    for _ in range(repeats):
        for number, work in enumerate(works):
            began = time.process_time()
            work()
            best[number] = min(best[number], time.process_time() - began)
    return best


def row(name: str, sizes: Sequence[int], seconds: Sequence[float]) -> str:
    """One line of the table."""
    power = float(np.polyfit(np.log(sizes), np.log(np.maximum(seconds, 1e-6)), 1)[0])
    cells = [f"{size:,}: {1e3 * taken:,.0f} ms" for size, taken in zip(sizes, seconds, strict=True)]
    return (
        f"| {name} | {' | '.join(cells)} | {seconds[-1] / seconds[0]:.1f}x for {sizes[-1] // sizes[0]}x | {power:.2f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("preset", nargs="?", default="nano")
    parser.add_argument("--least", type=int, default=2, help="the smallest size, at least as large as top_k")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sizes = [arguments.least * 2**step for step in range(DOUBLINGS)]
    lines = [
        f"# How cost grows with `{arguments.preset}`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {torch.__version__}. One thread, CPU time, the least of "
        f"{arguments.repeats} runs in turn.",
        "",
        "| | | | | | growth | power |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))

    def show(name: str, shown: Sequence[int], works: Sequence[Work]) -> None:
        lines.append(row(name, shown, measured(works, arguments.repeats)))
        print(lines[-1], flush=True)

    show("preparing: frames of a clip", [4 * size for size in sizes], preparing([4 * size for size in sizes]))
    show("annotating: clips", [100 * size for size in sizes], annotating(sizes))
    show("a training step: experts", sizes, training(arguments.preset, sizes))
    questions, clips = evaluating(arguments.preset, sizes)
    show("evaluating two clips: questions a clip", sizes, questions)
    show("evaluating: clips of two questions", sizes, clips)
    with serving(arguments.preset, sizes) as works:
        show("serving: questions at once", sizes, works)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
