"""Definition of a task, and builders of its questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from favchat.config import Config
from favchat.data.annotate.grammar import UNKNOWN, VIDEO, infinitive, joined
from favchat.evaluation.asking.eval_question import AnswerMode, EvalQuestion
from favchat.evaluation.labelled_clips import LabelledClip
from favchat.evaluation.scoring.answer_parser import YES_NO
from favchat.labels.attributes import Attribute

Kind = Literal["classes", "attributes", "questions", "texts", "probe"]
"""How a task is scored, see ``favchat.evaluation.scoring``."""


@dataclass(frozen=True)
class TaskContext:
    """The clips and settings of a task."""

    config: Config
    clips: Sequence[LabelledClip]
    """The clips of the corpus; a task takes those that it has questions about."""
    split: str
    ways: tuple[AnswerMode, ...]
    """How closed questions are answered."""


@dataclass(frozen=True)
class Task:
    """A benchmark."""

    name: str
    title: str
    kind: Kind
    protocol: str
    """What is asked of which clips, and which numbers count."""
    source: str
    """Who defined it, and where."""
    access: str
    """Where to ask for the data."""
    items: Callable[[TaskContext], list[EvalQuestion]]
    """Its questions.

    Raises:
        NothingToAskError: The corpus has nothing that it could ask about.
        ConfigError: A setting is wrong, or something cannot be read.
    """
    listed: Callable[[TaskContext], int] | None = None
    """How many clips the benchmark's lists name, where there are lists: those that could not be decoded count too."""


def closed(
    asked: TaskContext,
    task: str,
    labelled: LabelledClip,
    question: str,
    options: Sequence[str],
    truth: int,
    **more: Any,
) -> list[EvalQuestion]:
    """A closed question about a clip, once per answer mode.

    Args:
        asked: The task's context.
        task: Its name.
        labelled: The clip.
        question: The question.
        options: The options.
        truth: Index of the correct option.
        more: Further fields of the item; ``part`` is needed.
    """
    clip = labelled.clip
    fields: dict[str, Any] = {
        "split": asked.split,
        "question": question,
        "options": tuple(options),
        "truth": truth,
    } | more
    return [EvalQuestion(task=task, clip_id=clip.id, identity=labelled.person, way=way, **fields) for way in asked.ways]


def choice(labels: Sequence[str], when: str = "") -> str:
    """The question which word fits the expression; `when` is put before it, such as "From 1 to 2 seconds"."""
    question = f"hich word fits the person's expression best: {joined(labels, 'or')}?"
    return f"{when}, w{question}" if when else f"W{question}"


EXPRESSION_LEAD = "They look"
"""What the likelihood of a word for an expression is taken after, as the template writer's answers begin."""


def claim(statement: Attribute) -> str:
    """The yes/no question whether an attribute's statement is true."""
    asked = VIDEO if statement.subject == "video" else UNKNOWN
    phrase = asked.phrase(statement)
    if statement.verb == "is":
        return f"Is {asked.the} {phrase}?"
    return f"Does {asked.the} {infinitive(statement.verb)} {phrase}?"


def yes_no(
    asked: TaskContext, task: str, labelled: LabelledClip, question: str, truth: bool, **more: Any
) -> list[EvalQuestion]:
    """As ``closed``, for a yes/no question."""
    return closed(asked, task, labelled, question, YES_NO, 0 if truth else 1, **more)
