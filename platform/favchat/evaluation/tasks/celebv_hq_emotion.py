"""Emotions of CelebV-HQ, for whole clips and over time."""

from __future__ import annotations

from favchat.data.annotate.grammar import seconds
from favchat.data.annotate.known_labels import known_labels_of
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.labelled_clips import LabelledClip, NothingToAskError
from favchat.evaluation.task import EXPRESSION_LEAD, Task, TaskContext, choice, closed, yes_no
from favchat.evaluation.tasks.celebv_hq_attributes import ACCESS
from favchat.labels.attributes import EMOTION

NAME = "celebv_hq_emotion"
_NAMES = [emotion.name for emotion in EMOTION]
_WORDS = [emotion.phrase for emotion in EMOTION]


def emotion_items(asked: TaskContext) -> list[EvalQuestion]:
    """The emotion of clips with one, whether it changes, and the emotion of each segment if it does."""
    items: list[EvalQuestion] = []
    for labelled in asked.clips:
        if labelled.clip.split == asked.split:
            items += _of_clip(asked, labelled)
    if not items:
        raise NothingToAskError(
            f"data.out = {asked.config.data.out}: no clip of split '{asked.split}' has its emotion labelled. {ACCESS}"
        )
    return items


def _of_clip(asked: TaskContext, labelled: LabelledClip) -> list[EvalQuestion]:
    facts = known_labels_of(labelled.clip)
    if facts.emotion is None and not facts.segments:
        return []
    changes = bool(facts.segments)
    question = "Does the person's expression change during the video?"
    items = yes_no(asked, NAME, labelled, question, changes, part="change", level="time")
    if facts.emotion is not None:
        items += _named(asked, labelled, facts.emotion.name, "clip", "")
    for segment in facts.segments:
        stretch = f"From {segment.start:.1f} to {seconds(segment.end)}"
        items += _named(asked, labelled, segment.emotion, "segment", stretch)
    return items


def _named(asked: TaskContext, labelled: LabelledClip, emotion: str, part: str, when: str) -> list[EvalQuestion]:
    return closed(
        asked,
        NAME,
        labelled,
        choice(_WORDS, when),
        _WORDS,
        _NAMES.index(emotion),
        part=part,
        answer_prefix=EXPRESSION_LEAD,
        family="emotion",
        level="time" if when else "one",
    )


TASK = Task(
    name=NAME,
    title="CelebV-HQ, emotion and its change",
    kind="classes",
    protocol="clip: one of eight emotions of each clip that shows one; segment: the same of each labelled stretch of "
    "the clips whose emotion changes; change: whether it changes, yes or no. WAR and UAR of each.",
    source="labels of Zhu et al., ECCV 2022, arXiv 2207.12393; the questions are ours",
    access=ACCESS,
    items=emotion_items,
)
