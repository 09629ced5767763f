"""The 83 attributes of CelebV-HQ."""

from __future__ import annotations

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.labelled_clips import LabelledClip, NothingToAskError
from favchat.evaluation.task import EXPRESSION_LEAD, Task, TaskContext, choice, claim, closed, yes_no
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

NAME = "celebv_hq_attributes"
ACCESS = (
    "CelebV-HQ's annotation file and download list are at https://github.com/CelebV-HQ/CelebV-HQ (non-commercial "
    "research); then `favchat prepare` with data.source.kind=celebv_hq"
)


def attribute_items(asked: TaskContext) -> list[EvalQuestion]:
    """A yes/no question for each known label of appearance and action, and a choice of eight words for the emotion."""
    items: list[EvalQuestion] = []
    for labelled in asked.clips:
        if labelled.clip.split == asked.split:
            items += _of_clip(asked, labelled)
    if not items:
        raise NothingToAskError(
            f"data.out = {asked.config.data.out}: no clip of split '{asked.split}' has one of the 83 attributes "
            f"labelled. {ACCESS}"
        )
    return items


def _of_clip(asked: TaskContext, labelled: LabelledClip) -> list[EvalQuestion]:
    clip = labelled.clip
    items: list[EvalQuestion] = []
    labels = [*clip.appearance, *clip.action]
    for statement, label in zip((*APPEARANCE, *ACTION), labels, strict=True):
        if label is not None:
            items += yes_no(
                asked,
                NAME,
                labelled,
                claim(statement),
                statement.holds(label),
                part=statement.name,
                family=statement.family,
            )
    if clip.emotion is not None:
        words = [emotion.phrase for emotion in EMOTION]
        truth = [emotion.name for emotion in EMOTION].index(clip.emotion)
        items += closed(
            asked,
            NAME,
            labelled,
            choice(words),
            words,
            truth,
            part="emotion",
            family="emotion",
            answer_prefix=EXPRESSION_LEAD,
        )
    return items


TASK = Task(
    name=NAME,
    title="CelebV-HQ, 83 attributes",
    kind="attributes",
    protocol="Each known label of 40 appearances and 35 actions is a yes/no question, the emotion a choice of eight; "
    "unknown labels are not asked for. Macro-F1 (of the label's two values), mAP and AUC are means over the attributes "
    "that some clips have and others have not. Always answering no has a high accuracy (about 0.9): read it beside "
    "the majority. CelebV-HQ has no official split; ours keeps a YouTube channel's clips together (data.splits).",
    source="Zhu et al., ECCV 2022, arXiv 2207.12393",
    access=ACCESS,
    items=attribute_items,
)
