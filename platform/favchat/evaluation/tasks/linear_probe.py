"""Linear probing of the frozen visual tokens."""

from __future__ import annotations

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.task import Task, TaskContext

NAME = "linear_probe"


def probe_items(asked: TaskContext) -> list[EvalQuestion]:
    """The visual tokens of every clip of the split."""
    return [
        EvalQuestion(
            task=NAME,
            part="features",
            clip_id=labelled.clip.id,
            identity=labelled.person,
            split=asked.split,
            way="features",
        )
        for labelled in asked.clips
        if labelled.clip.split == asked.split
    ]


TASK = Task(
    name=NAME,
    title="Linear probe of the visual tokens",
    kind="probe",
    protocol="Logistic regression on the mean general and the mean face token of each clip, trained on the training "
    "split of data.out, its regularisation chosen by three-fold cross validation that keeps people together; one model "
    "for the emotion and one for each attribute of which both values occur in both splits.",
    source="after the linear probing of MARLIN, Cai et al., CVPR 2023, arXiv 2211.06627; which pools, and trains a "
    "linear layer by gradient descent",
    access="Any corpus with labels of a training split and a held-out one",
    items=probe_items,
)
