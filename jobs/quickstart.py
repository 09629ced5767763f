"""The whole road on the sample clips: prepare, annotate, train, ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jobs.annotate
import jobs.ask
import jobs.prepare
import jobs.train
from favchat import assets
from favchat.config import Config

OUT = Path("outputs/quickstart")
CLIP = "pexels_0.mp4"
"""The sample clip that is asked about."""
SAMPLE = Path(assets.__file__).parent / "sample"
QUESTIONS = ("What is the person's expression?", "Does the person look happy?", "What is the person doing?")


class Answer(NamedTuple):
    """A question about the sample clip and what the model said."""

    question: str
    answer: str


def run(config: Config, say: Callable[[str], None] = print) -> list[Answer]:
    """Prepare the sample clips, annotate them, train both stages, and ask the trained model about a clip.

    Args:
        config: ``data.out`` and ``training.out`` default to folders below ``outputs/quickstart``.
        say: Gets one line for each step: what it did, and where its output lies.
    """
    source = config.data.source.model_copy(
        update={"kind": "celebv_hq", "path": str(SAMPLE / "clips"), "annotations": str(SAMPLE / "annotations.json")}
    )
    data = config.data.model_copy(update={"source": source, "out": config.data.out or str(OUT / "corpus")})
    training = config.training.model_copy(update={"out": config.training.out or str(OUT / "run")})
    config = config.model_copy(update={"data": data, "training": training})

    for job in (jobs.prepare.run, jobs.annotate.run, jobs.train.run):
        began = time.monotonic()
        result = job(config)
        say(f"{result.summary()} ({time.monotonic() - began:.0f} s)")
    model = str(Path(config.training.out or "") / "model")
    video = str(SAMPLE / "clips" / CLIP)
    answers = [Answer(*pair) for pair in zip(QUESTIONS, jobs.ask.run(model, video, QUESTIONS), strict=True)]
    say(f"asked {model} about {video}:")
    for question, answer in answers:
        say(f"  Q: {question}\n  A: {answer}")
    return answers
