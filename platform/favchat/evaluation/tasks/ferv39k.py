"""FERV39k: seven expressions in clips of 22 kinds of scene."""

from __future__ import annotations

from favchat.data.sources.ferv39k import ferv39k_lists
from favchat.evaluation.expression_task import expression_items, listed
from favchat.evaluation.task import Task

CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
ACCESS = (
    "FERV39k is given to researchers who sign an agreement: https://github.com/wangyanckxx/FERV39k; then `favchat "
    "prepare` with data.source.kind=ferv39k"
)

TASK = Task(
    name="ferv39k",
    title="FERV39k, 7 expressions",
    kind="classes",
    protocol="The official split over all scenes: WAR and UAR of the test list.",
    source="Wang et al., CVPR 2022, arXiv 2203.09463",
    access=ACCESS,
    items=lambda asked: expression_items(asked, "ferv39k", CLASSES, lambda fold: ferv39k_lists(), ACCESS),
    listed=lambda asked: listed(asked, lambda fold: ferv39k_lists()),
)
