"""Open descriptions of the person."""

from __future__ import annotations

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.labelled_clips import NothingToAskError, read_annotations
from favchat.evaluation.task import Task, TaskContext

NAME = "summaries"
QUESTION = "Describe the person in this video."


def summary_items(asked: TaskContext) -> list[EvalQuestion]:
    """One description question for each clip with summaries."""
    references: dict[str, list[str]] = {}
    for row in read_annotations(asked.config.data.out or "", "summary", asked.split).to_pylist():
        references.setdefault(row["clip_id"], []).append(row["answer"])
    items = [
        EvalQuestion(
            task=NAME,
            part="all",
            clip_id=labelled.clip.id,
            identity=labelled.person,
            split=asked.split,
            way="text",
            question=QUESTION,
            references=tuple(references[labelled.clip.id]),
            family="several",
            level="description",
        )
        for labelled in asked.clips
        if labelled.clip.id in references
    ]
    if not items:
        raise NothingToAskError(f"data.out = {asked.config.data.out}: no selected summary of split '{asked.split}'")
    return items


TASK = Task(
    name=NAME,
    title="Descriptions",
    kind="texts",
    protocol="One description a clip, against its summaries: CIDEr-D, ROUGE-L, BLEU-4, METEOR where NLTK has WordNet. "
    "Attributes parsed from the text: precision is the share of stated ones that the labels confirm, of those that are "
    "labelled; recall the share of true labels that are stated. Template summaries reward a template's style: read the "
    "attributes first.",
    source="metrics: arXiv 1411.5726 (CIDEr), Lin 2004 (ROUGE), Papineni et al. 2002 (BLEU), Banerjee and Lavie 2005 "
    "(METEOR); attributes: docs/annotation.md, the check",
    access="Any corpus with labels, after `favchat annotate`",
    items=summary_items,
)
