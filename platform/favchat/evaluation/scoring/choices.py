"""Scores predictions of closed questions for each kind of task, with intervals, baselines and unparsed answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.scoring import baselines
from favchat.evaluation.scoring.metrics import UNPARSED, Answers, confusion, weighted
from favchat.evaluation.scoring.predictions import Row
from favchat.evaluation.scoring.resampling import (
    cluster_numbers,
    cluster_weights,
    estimates,
    interval,
    mean_estimate,
    resampled,
)


class Metric(NamedTuple):
    """A metric with its interval and baselines."""

    value: float
    low: float | None = None
    high: float | None = None
    majority: float | None = None
    prior: float | None = None


@dataclass(frozen=True)
class Result:
    """The metrics of one metric group of a task, in one answer mode."""

    part: str
    way: str
    asked: int
    """Questions."""
    people: int
    """Different persons among those that were answered."""
    metrics: Mapping[str, Metric]
    missing: int = 0
    """Questions without an answer so far; they count nowhere."""
    unparsed: int = 0
    """Answers that name no option; they count as wrong."""
    classes: tuple[str, ...] = ()
    confusion: NDArray[np.int64] | None = None
    """`(K, K + 1)`, the last column unparsed."""


@dataclass(frozen=True)
class Scoring:
    """Inputs of scoring besides the predictions."""

    resamples: int = 1000
    seed: int = 0
    trained: Sequence[EvalQuestion] = field(default_factory=list)
    """The task's questions about the training split: what is right how often."""


def gathered(items: Sequence[EvalQuestion], rows: Sequence[Row]) -> dict[tuple[str, str], tuple[int, list[Row]]]:
    """(metric group, answer mode) -> number of questions, and the answered ones."""
    counts = Counter((item.part, item.way) for item in items)
    groups: dict[tuple[str, str], tuple[int, list[Row]]] = {key: (count, []) for key, count in counts.items()}
    for row in rows:
        groups[row["part"], row["way"]][1].append(row)
    return groups


def answers_of(rows: Sequence[Row], classes: Sequence[str]) -> Answers:
    """Convert rows with the same options to `Answers`."""
    given = [row["probabilities"] for row in rows]
    return Answers(
        truth=np.array([row["truth"] for row in rows], np.int64),
        predicted=np.array([UNPARSED if row["answer"] is None else row["answer"] for row in rows], np.int64),
        classes=len(classes),
        probabilities=np.array(given) if given and all(one is not None for one in given) else None,
    )


def people_of(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Index of each row's person."""
    return cluster_numbers([row["identity"] for row in rows])


def counts_of(
    items: Sequence[EvalQuestion], part: str, classes: Sequence[str], rows: Sequence[Row]
) -> NDArray[np.int64]:
    """Class frequencies in the training split, or without one in the questions themselves."""
    seen: dict[str, EvalQuestion] = {
        f"{item.clip_id}/{item.question}": item for item in items if item.part == part and item.truth is not None
    }
    right = [item.truth for item in seen.values()] or [row["truth"] for row in rows]
    return np.bincount(np.array(right, np.int64), minlength=len(classes))


def closed_result(
    part: str, way: str, asked: int, rows: Sequence[Row], classes: Sequence[str], scoring: Scoring, of: str = ""
) -> Result:
    """The metrics of questions with the same options.

    Args:
        part: Name of the result.
        way: The answer mode.
        asked: Number of questions.
        rows: The answered ones.
        classes: The options.
        scoring: Further inputs.
        of: The metric group of the training questions for the baselines; by default `part`.
    """
    answers, people = answers_of(rows, classes), people_of(rows)
    counts = counts_of(scoring.trained, of or part, classes, rows)
    found = estimates(answers, people, resamples=scoring.resamples, seed=scoring.seed)
    always, drawn = baselines.majority(answers, counts), baselines.prior(answers, counts)
    return Result(
        part,
        way,
        asked,
        len(set(people.tolist())),
        {name: Metric(*estimate, always.get(name), drawn.get(name)) for name, estimate in found.items()},
        missing=asked - len(rows),
        unparsed=sum(row["answer"] is None for row in rows),
        classes=tuple(classes),
        confusion=confusion(answers),
    )


def class_results(items: Sequence[EvalQuestion], rows: Sequence[Row], scoring: Scoring) -> list[Result]:
    """Results of tasks of kind ``classes``: each metric group in each answer mode; with folds, each and the mean."""
    results: list[Result] = []
    for (part, way), (asked, answered) in gathered(items, rows).items():
        if not answered:
            results.append(Result(part, way, asked, 0, {}, missing=asked))
            continue
        classes = answered[0]["options"]
        folds = sorted({item.fold for item in items if item.fold is not None})
        if len(folds) < 2:
            results.append(closed_result(part, way, asked, answered, classes, scoring))
            continue
        per_fold = []
        for fold in folds:
            some = [row for row in answered if row["fold"] == fold]
            count = sum((item.part, item.way, item.fold) == (part, way, fold) for item in items)
            if some:
                trained = [item for item in scoring.trained if item.fold == fold]
                of_fold = Scoring(scoring.resamples, scoring.seed, trained)
                per_fold.append(closed_result(f"{part}, fold {fold}", way, count, some, classes, of_fold, of=part))
        results.append(_mean_of_folds(f"{part}, mean of {len(per_fold)} folds", per_fold, answered, classes, scoring))
        results += per_fold
    return results


def _mean_of_folds(
    part: str, folds: Sequence[Result], rows: Sequence[Row], classes: Sequence[str], scoring: Scoring
) -> Result:
    """The mean over folds, with an interval from resampling the people of all folds jointly."""
    people = people_of(rows)
    weights = cluster_weights(people, scoring.resamples, scoring.seed)
    spread: dict[str, list[NDArray[np.float64]]] = {}
    for fold in sorted({row["fold"] for row in rows}):
        places = np.flatnonzero([row["fold"] == fold for row in rows])
        answers = answers_of([rows[place] for place in places.tolist()], classes)
        drawn = resampled(partial(weighted, answers, same_classes=True), weights[:, places])
        for name, values in drawn.items():
            spread.setdefault(name, []).append(values)
    metrics = {}
    for name in folds[0].metrics:
        low, high = interval(np.mean(spread[name], axis=0))
        means = [
            float(
                np.mean(
                    [value for fold in folds if (value := getattr(fold.metrics[name], what)) is not None] or [np.nan]
                )
            )
            for what in ("value", "majority", "prior")
        ]
        metrics[name] = Metric(means[0], low, high, *(None if np.isnan(mean) else mean for mean in means[1:]))
    total = sum(fold.confusion for fold in folds if fold.confusion is not None)
    return Result(
        part,
        folds[0].way,
        sum(fold.asked for fold in folds),
        len(set(people.tolist())),
        metrics,
        missing=sum(fold.missing for fold in folds),
        unparsed=sum(fold.unparsed for fold in folds),
        classes=tuple(classes),
        confusion=np.asarray(total),
    )


def question_results(items: Sequence[EvalQuestion], rows: Sequence[Row], scoring: Scoring) -> list[Result]:
    """Results of the corpus's own closed questions: yes/no, choice, and both by family and level."""
    results: list[Result] = []
    closed_items = [item for item in items if item.options]
    closed_rows = [row for row in rows if row["options"]]
    for (part, way), (asked, answered) in gathered(closed_items, closed_rows).items():
        if not answered:
            results.append(Result(part, way, asked, 0, {}, missing=asked))
        elif part == "yes_no":
            results.append(closed_result(part, way, asked, answered, answered[0]["options"], scoring))
        else:
            results.append(_accuracy(part, way, asked, answered, scoring))
    for column in ("family", "level"):
        for way in sorted({item.way for item in closed_items}):
            for value in sorted({getattr(item, column) for item in closed_items}):
                asked = sum(item.way == way and getattr(item, column) == value for item in closed_items)
                answered = [row for row in closed_rows if row["way"] == way and row[column] == value]
                if answered:
                    results.append(_accuracy(f"{column}: {value}", way, asked, answered, scoring))
    return results


def _accuracy(part: str, way: str, asked: int, rows: Sequence[Row], scoring: Scoring) -> Result:
    """Accuracy over questions with different options.

    The majority baseline is the offered option that is most often correct in the training split, ties go to the first;
    the prior baseline picks an option uniformly.
    """
    often = Counter(item.options[item.truth] for item in scoring.trained if item.truth is not None and item.options)
    right = np.array([row["answer"] == row["truth"] for row in rows], float)
    best = [max(row["options"], key=lambda option: often[option]) == row["options"][row["truth"]] for row in rows]
    people = people_of(rows)
    estimate = mean_estimate(right, people, resamples=scoring.resamples, seed=scoring.seed)
    chance = float(np.mean([1 / len(row["options"]) for row in rows]))
    return Result(
        part,
        way,
        asked,
        len(set(people.tolist())),
        {"war": Metric(*estimate, float(np.mean(best)), chance)},
        missing=asked - len(rows),
        unparsed=sum(row["answer"] is None for row in rows),
    )
