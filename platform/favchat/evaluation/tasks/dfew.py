"""DFEW: seven expressions in clips of films."""

from __future__ import annotations

from favchat.data.sources.dfew import dfew_lists
from favchat.evaluation.expression_task import expression_items, listed
from favchat.evaluation.task import Task

CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
ACCESS = (
    "DFEW is given to researchers who sign an agreement: https://dfew-dataset.github.io; then `favchat prepare` with "
    "data.source.kind=dfew"
)

TASK = Task(
    name="dfew",
    title="DFEW, 7 expressions",
    kind="classes",
    protocol="Five-fold cross validation over the 11,697 single-labelled clips: WAR and UAR of each fold's test list, "
    "and their means over the five folds. A model trained on DFEW is tested on the fold that it was not trained on; "
    "one that never saw it on all five.",
    source="Jiang et al., ACM Multimedia 2020, arXiv 2008.05924",
    access=ACCESS,
    items=lambda asked: expression_items(asked, "dfew", CLASSES, dfew_lists, ACCESS),
    listed=lambda asked: listed(asked, dfew_lists),
)
