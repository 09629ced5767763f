"""The corpus's own questions."""

from __future__ import annotations

from typing import Any

from favchat.data.annotate.grammar import UNKNOWN
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.labelled_clips import LabelledClip, NothingToAskError, read_annotations
from favchat.evaluation.task import EXPRESSION_LEAD, Task, TaskContext, closed, yes_no
from favchat.labels.attribute_parser import parse_statements
from favchat.labels.attributes import attribute

NAME = "questions"
_LEADS = {"is": "They are", "has": "They have", "looks": EXPRESSION_LEAD}


def question_items(asked: TaskContext) -> list[EvalQuestion]:
    """The selected questions of the split: closed if their options can be parsed, else open."""
    there = {labelled.clip.id: labelled for labelled in asked.clips}
    items: list[EvalQuestion] = []
    for row in read_annotations(asked.config.data.out or "", "qa", asked.split).to_pylist():
        labelled = there.get(row["clip_id"])
        if labelled is not None:
            items += _of_row(asked, labelled, row)
    if not items:
        raise NothingToAskError(f"data.out = {asked.config.data.out}: no selected question of split '{asked.split}'")
    return items


def _of_row(asked: TaskContext, labelled: LabelledClip, row: dict[str, Any]) -> list[EvalQuestion]:
    more = {"family": row["family"], "level": row["level"]}
    if row["truth"] is not None:
        return yes_no(asked, NAME, labelled, row["question"], row["truth"], part="yes_no", **more)
    options = choices(row["question"], row["answer"]) if row["answer_type"] == "choice" else None
    if options is not None:
        words, answer_prefix, truth = options
        return closed(
            asked, NAME, labelled, row["question"], words, truth, part="choice", answer_prefix=answer_prefix, **more
        )
    return [
        EvalQuestion(
            task=NAME,
            part="open",
            clip_id=labelled.clip.id,
            identity=labelled.person,
            split=asked.split,
            way="text",
            question=row["question"],
            references=(row["answer"],),
            **more,
        )
    ]


def choices(question: str, answer: str) -> tuple[list[str], str, int] | None:
    """Parse the options of a question, the text before them, and the index of the one in its answer.

    Returns:
        None if ambiguous: the options are of different kinds, or the answer names none or several.
    """
    offered = list(dict.fromkeys(s.name for s in parse_statements(question) if not s.presupposed))
    said = {s.name for s in parse_statements(answer) if s.holds and not s.presupposed} & set(offered)
    verbs = {attribute(name).verb for name in offered}
    if len(offered) < 2 or len(said) != 1 or len(verbs) != 1:
        return None
    words = [UNKNOWN.phrase(attribute(name)) for name in offered]
    if all(word.endswith(" hair") for word in words):  # "Is their hair black or brown?"
        words = [word.removesuffix(" hair") for word in words]
        return words, "Their hair is", offered.index(said.pop())
    return words, _LEADS[verbs.pop()], offered.index(said.pop())


TASK = Task(
    name=NAME,
    title="The corpus's own questions",
    kind="questions",
    protocol="The selected questions of the split (`favchat annotate`), by family and level. Yes/no and choice: "
    "accuracy, UAR and macro-F1 of yes/no. Open ones: attributes that the answer states and the labels confirm or "
    "contradict, and ROUGE-L against the annotation's answer.",
    source="docs/annotation.md",
    access="Any corpus with labels, after `favchat annotate`",
    items=question_items,
)
