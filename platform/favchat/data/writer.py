"""A writer turns a clip's labels into annotations; the template writer does it offline and the same way every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from random import Random
from typing import Literal, Protocol

from favchat.attributes import Attribute
from favchat.data.captions import INSTRUCTIONS, summary
from favchat.data.clips import Clip
from favchat.data.facts import Facts, facts_of
from favchat.data.questions import (
    SEVERAL,
    Question,
    choice_questions,
    emotion_questions,
    joint_questions,
    open_questions,
    temporal_questions,
    yes_no_questions,
)


@dataclass(frozen=True, slots=True)
class Annotation:
    """One row of the annotations; ``docs/data-format.md`` explains each column."""

    clip_id: str
    split: str
    task: Literal["summary", "qa"]
    question: str
    answer: str
    answer_type: str
    family: str
    attributes: list[str] = field(default_factory=list)
    level: str = "one"
    source: str = "template"
    selected: bool = True


class Writer(Protocol):
    """Writes the annotations of one clip; what it writes depends on that clip and on the writer's settings alone."""

    def write(self, clip: Clip) -> list[Annotation]:
        """The clip's annotations; none where nothing is known of it."""
        ...


@dataclass(frozen=True, slots=True)
class TemplateWriter:
    """Writes summaries and questions by templates; its choices follow from the seed and the clip's id."""

    seed: int = 0
    summaries: int = 2
    """Summaries a clip, at most; two that would read the same are one."""
    questions: int = 12
    """Questions a clip, at most."""

    def write(self, clip: Clip) -> list[Annotation]:
        """The clip's summaries, then its questions."""
        facts = facts_of(clip)
        if facts.empty:
            return []
        random = Random(f"{self.seed}/{clip.id}")  # noqa: S311 - picks wordings, guards nothing
        return [*self._summaries(clip, facts, random), *self._questions(clip, facts, random)]

    def _summaries(self, clip: Clip, facts: Facts, random: Random) -> Iterator[Annotation]:
        seen = set()
        for instruction in random.sample(INSTRUCTIONS, min(self.summaries, len(INSTRUCTIONS))):
            written = summary(facts, random)
            if written is None or written[0] in seen:
                continue
            text, attributes = written
            seen.add(text)
            yield Annotation(
                clip_id=clip.id,
                split=clip.split,
                task="summary",
                question=instruction,
                answer=text,
                answer_type="open",
                family=_family(attributes),
                attributes=[attribute.name for attribute in attributes],
                level="description",
            )

    def _questions(self, clip: Clip, facts: Facts, random: Random) -> Iterator[Annotation]:
        for question in pick(facts, random, self.questions):
            yield Annotation(
                clip_id=clip.id,
                split=clip.split,
                task="qa",
                question=question.question,
                answer=question.answer,
                answer_type=question.answer_type,
                family=question.family,
                attributes=[attribute.name for attribute in question.attributes],
                level=question.level,
            )


def pick(facts: Facts, random: Random, budget: int) -> list[Question]:
    """At most ``budget`` questions: the first about the emotion where it is known, the others from every kind in turn.

    Yes/no questions come in pairs, one answered yes and one no, in random order, so that cutting at the budget is fair.
    """
    emotion = list(emotion_questions(facts, random))
    temporal = list(temporal_questions(facts, random))
    kinds = [
        emotion[1:2],
        list(yes_no_questions(facts, random)),
        _mixed(open_questions(facts, random), random),
        temporal if emotion else temporal[1:],
        _mixed(emotion[2:], random),
        _mixed(choice_questions(facts, random), random),
        _mixed(joint_questions(facts, random), random),
    ]
    first = emotion[:1] or temporal[:1]
    rest = [question for round_ in zip_longest(*kinds) for question in round_ if question is not None]
    return (first + rest)[:budget]


def _mixed(questions: Iterable[Question], random: Random) -> list[Question]:
    found = list(questions)
    return random.sample(found, len(found))


def _family(attributes: list[Attribute]) -> str:
    families = {attribute.family for attribute in attributes}
    return families.pop() if len(families) == 1 else SEVERAL
