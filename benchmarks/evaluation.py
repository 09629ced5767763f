"""Questions a second: likelihoods of all options, batched on features encoded once, against one `generate` a question.

    python benchmarks/evaluation.py CORPUS [--model DIR] [--clips 16] [--answers FILE.json] [--against FILE.json]
        [--out benchmarks/results/FILE.md]

CORPUS is a folder of `favchat prepare`. Without a model, an untrained `nano` is measured: speed does not depend on what
the weights say, but for where a free answer ends. All ways answer the same closed questions about the same clips: each
known label of the 83 attributes and the emotion, as the task ``celebv_hq_attributes`` asks them. `generate` decodes,
encodes and answers each question by itself, as `favchat ask` does; free answers are also measured the way the
evaluation writes them, with each clip encoded once. Likelihoods include those of the clip without content.

"Both" is what `favchat evaluate` does: each question by likelihood and in words. `--answers` keeps what that answered;
`--against` compares with what another revision, whose folders `PYTHONPATH` names, kept of the same clips.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch

from favchat.config import Config, load
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.asking.local_backend import LocalModel
from favchat.evaluation.labelled_clips import read_clips, some_of
from favchat.evaluation.task import TaskContext
from favchat.io.paths import path_of
from favchat.model.build import build
from favchat.model.generation import answer
from favchat.plugins import TASKS
from favchat.training.batches.samples import CLIP_COLUMNS, StoredClip, read_clip
from jobs.commands.settings import CONFIGS

Answer = tuple[list[float], list[float], str]
"""Of one question: log-likelihoods of the options, those of the clip without content, and the words."""


def questions(corpus: str, count: int) -> dict[str, list[EvalQuestion]]:
    """Clip -> its closed questions."""
    clips = some_of(read_clips(corpus), count)
    split = clips[0].clip.split
    config = Config.model_validate({"data": {"out": corpus}})
    found: dict[str, list[EvalQuestion]] = {}
    for item in TASKS["celebv_hq_attributes"].items(TaskContext(config, clips, split, ("likelihood",))):
        found.setdefault(item.clip_id, []).append(item)
    return found


def read(corpus: str, names: list[str]) -> list[dict]:
    """The shards' rows of some clips, in their order."""
    wanted = pc.field("clip_id").isin(names)
    tables = [read_table(file, CLIP_COLUMNS, filters=wanted) for file in parquet_files(path_of(corpus) / SHARDS)]
    rows = {row["clip_id"]: row for table in tables for row in table.to_pylist()}
    return [rows[name] for name in names]


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compared(kept: list[Answer], cpu: float, other: dict[str, Any]) -> str:
    """How the answers and the CPU time differ from another revision's."""
    pairs = list(zip(kept, other["answers"], strict=True))
    apart = max(abs(a - b) for mine, his in pairs for i in (0, 1) for a, b in zip(mine[i], his[i], strict=True))
    changed = sum(choice(mine) != choice(his) for mine, his in pairs)
    texts = sum(mine[2] != his[2] for mine, his in pairs)
    return (
        f"Against the other revision: {other['cpu'] / cpu:.2f}x as fast ({other['cpu']:.1f} s of CPU time there, "
        f"{cpu:.1f} s here). Of {len(pairs)} questions {changed} have another choice and {texts} another text; "
        f"log-likelihoods differ by at most {apart:.1e} nats."
    )


def choice(kept: Answer) -> int:
    """The option whose likelihood rose most against that of the clip without content."""
    return int(np.argmax(np.asarray(kept[0]) - np.asarray(kept[1])))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus")
    parser.add_argument("--model", help="a model directory; by default an untrained nano")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8, help="clips encoded together")
    parser.add_argument("--generated", type=int, default=32, help="questions that are answered one by one")
    parser.add_argument("--tokens", type=int, default=16, help="longest free answer")
    parser.add_argument("--questions", type=int, help="at most so many questions a clip, by default all")
    parser.add_argument("--only-both", action="store_true", help="measure nothing else")
    parser.add_argument("--answers", type=Path, help="keep the answers of both ways in this file")
    parser.add_argument("--against", type=Path, help="compare with the answers and the time in this file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    by_clip = questions(arguments.corpus, arguments.clips)
    if arguments.questions:
        by_clip = {
            clip: some[:: max(1, len(some) // arguments.questions)][: arguments.questions]
            for clip, some in by_clip.items()
        }
    rows = read(arguments.corpus, list(by_clip))
    folder = tempfile.TemporaryDirectory()
    name = arguments.model or folder.name
    if arguments.model is None:
        for part in build(load(CONFIGS / "nano.yaml").model):
            part.save_pretrained(folder.name)
    model = LocalModel(name, max_new_tokens=arguments.tokens)
    items = list(by_clip.values())
    flat = [(row, item) for row, some in zip(rows, items, strict=True) for item in some]
    some = flat[:: max(1, len(flat) // arguments.generated)][: arguments.generated]

    def batches(ask: Callable[[object, list[list[EvalQuestion]]], object]) -> None:
        for begin in range(0, len(rows), arguments.batch):
            part = slice(begin, begin + arguments.batch)
            ask(model.visual([read_clip(row) for row in rows[part]]), items[part])

    def one_by_one() -> None:
        for row, item in some:
            clip: StoredClip = read_clip(row)
            answer(model.model, model.processor, [clip], [item.question], max_new_tokens=arguments.tokens)

    answer(model.model, model.processor, [read_clip(rows[0])], ["?"], max_new_tokens=2)  # warms up
    kept: list[Answer] = []

    def both(visual: object, part: list[list[EvalQuestion]]) -> None:
        likelihoods, texts = model.likelihoods(visual, part), model.texts(visual, part)
        for scored, written in zip(likelihoods, texts, strict=True):
            kept.extend((one.log_likelihoods, one.prior, text) for one, text in zip(scored, written, strict=True))

    measured = []
    if not arguments.only_both:
        measured = [
            ("one `generate` a question", len(some), seconds(one_by_one)),
            ("free answers, clip encoded once", len(flat), seconds(lambda: batches(model.texts))),
            ("likelihood of each option, packed", len(flat), seconds(lambda: batches(model.likelihoods))),
        ]
    model = LocalModel(name, max_new_tokens=arguments.tokens)  # without the priors found so far
    measured.append(("both", len(flat), seconds(lambda: batches(both))))
    options = sum(len(item.options) for _, item in flat) / len(flat)
    base = measured[0][1] / measured[0][2][1]
    if arguments.answers:
        arguments.answers.write_text(json.dumps({"cpu": measured[-1][2][1], "answers": kept}), encoding="utf-8")
    lines = [
        "# Questions a second",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, {arguments.threads} thread(s), "
        f"Python {platform.python_version()}, torch {torch.__version__}. {len(rows)} clips, {len(flat)} closed "
        f"questions ({options:.1f} options each on average); free answers of at most "
        f"{arguments.tokens} tokens. CPU time counts: other work on the machine slows the wall clock.",
        "",
        "| | questions | wall (s) | CPU (s) | questions a CPU second | to `generate` |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {count} | {wall:.1f} | {cpu:.1f} | {count / cpu:.2f} | {count / cpu / base:.1f}x |"
            for name, count, (wall, cpu) in measured
        ),
    ]
    if arguments.against:
        lines += ["", compared(kept, measured[-1][2][1], json.loads(arguments.against.read_text(encoding="utf-8")))]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
