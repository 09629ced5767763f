"""MAFW: eleven expressions in clips of films, shows and news."""

from __future__ import annotations

from favchat.data.sources.mafw import mafw_lists
from favchat.evaluation.expression_task import expression_items, listed
from favchat.evaluation.task import Task

CLASSES = (
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
    "contempt",
    "anxiety",
    "helplessness",
    "disappointment",
)
ACCESS = (
    "MAFW is given to researchers who sign an agreement: https://mafw-database.github.io/MAFW/; then `favchat prepare` "
    "with data.source.kind=mafw"
)

TASK = Task(
    name="mafw",
    title="MAFW, 11 expressions",
    kind="classes",
    protocol="Five-fold cross validation over the 9,172 single-labelled clips: WAR and UAR of each fold's test list, "
    "and their means over the five folds. Three of its expressions are not among the eight of the shards, so the lists "
    "in data.source.path are needed.",
    source="Liu et al., ACM Multimedia 2022, arXiv 2208.00847",
    access=ACCESS,
    items=lambda asked: expression_items(asked, "mafw", CLASSES, mafw_lists, ACCESS),
    listed=lambda asked: listed(asked, mafw_lists),
)
