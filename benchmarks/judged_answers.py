"""Ask a model about videos in everyday words, for a person to judge the answers by eye.

    python benchmarks/judged_answers.py ask MODEL VIDEO [VIDEO ...] --out FOLDER
    python benchmarks/judged_answers.py count FOLDER/answers.json

``ask`` puts twelve questions to each video and writes ``answers.json`` and, of each video, a picture of six frames with
the answers below; ``--together`` adds one picture of all videos. Whoever judges writes the ``verdict`` of each answer:
``right``, ``wrong``, ``nonsense``, ``abstains`` (it says that it cannot tell what a person sees) or ``unclear`` (the
frames do not tell a person either, and the answer names one side). ``count`` tells how many are what, by question.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from favchat.hub.load import load
from favchat.hub.names import resolve_model
from favchat.labels.everyday_templates import NO_FACE
from favchat.model.generation import answer
from favchat.video import VideoError
from favchat.video.decode import read_frames

QUESTIONS = (
    "Describe this person.",
    "Is this a man or a woman?",
    "How old is this person?",
    "What colour is the hair?",
    "Is the person smiling?",
    "Any glasses?",
    "What expression do they have?",
    "Has this person got a beard?",
    "What is the person doing?",
    "Is the mouth open?",
    "Is the person talking?",
    "Is there something on the head?",
)
VERDICTS = ("right", "wrong", "nonsense", "abstains", "unclear")
FRAMES = 6
WIDTH, TEXT_HEIGHT = 11.0, 1.4
"""Of a picture, and of the text below each strip of frames, in inches."""


def ask(name: str, videos: list[Path], out: Path) -> list[dict[str, Any]]:
    """Answers to all questions about all videos, one entry each without a verdict."""
    model, processor = load(resolve_model(name))
    specification = processor.clip_specification
    detector = specification.make_detector()
    found = []
    for video in videos:
        try:
            clip = specification.read(str(video), detector)[0]
            answers = answer(model, processor, [clip] * len(QUESTIONS), QUESTIONS, max_new_tokens=64)
        except VideoError as error:
            answers = [NO_FACE if error.reason.startswith("no face found") else str(error)] * len(QUESTIONS)
        pairs = zip(QUESTIONS, answers, strict=True)
        found += [{"video": video.name, "question": q, "answer": text, "verdict": None} for q, text in pairs]
        print(f"{video.name}: {answers[0]}", flush=True)
        (out / "answers.json").write_text(json.dumps(found, indent=1) + "\n")
        draw([video], found, out / f"{video.stem}.png")
    return found


def draw(videos: list[Path], found: list[dict[str, Any]], path: Path) -> None:
    """Each video's frames in a line, and its questions and answers below."""
    strips = []
    for video in videos:
        frames = read_frames(video, max_frames=FRAMES, fps=30, max_side=320).images
        strips.append(np.concatenate(list(frames), axis=1))
    heights = [part for strip in strips for part in (WIDTH * strip.shape[0] / strip.shape[1], TEXT_HEIGHT)]
    figure = plt.figure(figsize=(WIDTH, sum(heights)))
    places = figure.add_gridspec(len(heights), 1, height_ratios=heights, left=0, right=1, top=1, bottom=0, hspace=0)
    for number, (video, strip) in enumerate(zip(videos, strips, strict=True)):
        picture, text = (figure.add_subplot(places[2 * number + part]) for part in (0, 1))
        picture.imshow(strip, aspect="auto")
        lines = [f"{one['question']}  {one['answer']}" for one in found if one["video"] == video.name]
        half = len(lines) // 2
        for x, y, part in (
            (0.005, 0.93, lines[:1]),
            (0.005, 0.76, lines[1 : half + 1]),
            (0.5, 0.76, lines[half + 1 :]),
        ):
            text.text(x, y, "\n".join(part), fontsize=8, va="top", linespacing=1.3)
        for axis in (picture, text):
            axis.axis("off")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def count(found: list[dict[str, Any]]) -> str:
    """How many answers got which verdict, by question and in all.

    Raises:
        ValueError: A verdict is missing or is none of :data:`VERDICTS`.
    """
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        if one["verdict"] not in VERDICTS:
            raise ValueError(
                f"{one['video']}, {one['question']}: the verdict is {one['verdict']!r}, not one of {VERDICTS}"
            )
        by_question[one["question"]][one["verdict"]] += 1
    total: Counter[str] = sum(by_question.values(), Counter())
    lines = ["| question | " + " | ".join(VERDICTS) + " |", "|---|" + "---|" * len(VERDICTS)]
    for question, counts in [*by_question.items(), ("**all**", total)]:
        lines.append(f"| {question} | " + " | ".join(str(counts[verdict]) for verdict in VERDICTS) + " |")
    judged = sum(total.values()) - total["unclear"]
    return "\n".join([*lines, "", f"{total['right']} of {judged} clear ones are right: {total['right'] / judged:.1%}."])


def main() -> None:
    """Ask or count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("model")
    asking.add_argument("videos", nargs="+", type=Path)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--together", action="store_true", help="one picture of all videos, too")
    counting = commands.add_parser("count")
    counting.add_argument("answers", type=Path)
    given = parser.parse_args()
    if given.command == "count":
        print(count(json.loads(given.answers.read_text())))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    found = ask(given.model, given.videos, given.out)
    if given.together:
        draw(given.videos, found, given.out / "answers.png")


if __name__ == "__main__":
    main()
