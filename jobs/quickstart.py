"""The pipeline on the sample clips, then questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import favchat
import jobs.ask
import jobs.pipeline.run
from favchat.config import Config

OUT = Path("outputs/quickstart")
SAMPLE = Path(favchat.__file__).parent / "sample"
EXAMPLES = {
    "pexels_0.mp4": {
        "Man or woman?": "a woman",
        "What colour is her hair?": "brown",
        "Does she have long hair?": "yes",
        "Is she wearing a hat?": "no",
        "Is she wearing glasses?": "no",
    },
    "franck_0.mp4": {
        "Is this a man?": "yes",
        "Is he smiling?": "yes",
        "Does he have a beard?": "no",
        "Is he wearing glasses?": "no",
        "Does he look happy?": "yes",
    },
    "pyfeat_0.mp4": {
        "Is it a woman?": "no",
        "Is his hair black?": "yes",
        "How old does he look?": "young",
        "Is he wearing a hat?": "no",
        "What is his job?": "it cannot tell",
    },
}
"""Sample clips, what is asked about each, and what is right."""


class Answer(NamedTuple):
    """A question about a sample clip, what the model said, and what is right."""

    clip: str
    question: str
    answer: str
    right: str


def run(config: Config, say: Callable[[str], None] = print) -> list[Answer]:
    """Run the pipeline on the sample clips, and ask the trained model about some of them.

    Args:
        config: ``pipeline.out`` defaults to ``outputs/quickstart``, and the source is the sample.
        say: Gets a few lines for each step: what it did, and where its output lies.
    """
    source = config.data.source.model_copy(
        update={"kind": "celebv_hq", "path": str(SAMPLE / "clips"), "annotations": str(SAMPLE / "annotations.json")}
    )
    data = config.data.model_copy(update={"source": source})
    pipeline = config.pipeline.model_copy(update={"out": config.pipeline.out or str(OUT)})
    config = config.model_copy(update={"data": data, "pipeline": pipeline})
    jobs.pipeline.run.run(config, say=say)
    config = jobs.pipeline.run.completed(config)
    model = str(Path(config.training.out or "") / "model")
    answers = []
    for clip, asked in EXAMPLES.items():
        video = str(SAMPLE / "clips" / clip)
        said = jobs.ask.run(model, video, list(asked))
        answers += [
            Answer(clip, question, answer, right) for (question, right), answer in zip(asked.items(), said, strict=True)
        ]
        say(f"asked {model} about {video}:")
        for one in answers[-len(asked) :]:
            say(f"  Q: {one.question}\n  A: {one.answer}   (right: {one.right})")
    return answers
