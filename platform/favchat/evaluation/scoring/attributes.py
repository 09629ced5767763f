"""The 83 attributes: each individually, and means over those with both values in the clips.

Metrics of an attribute: ``war`` accuracy, ``uar`` mean recall of its two values, ``macro_f1`` the mean F1 of its two
values, ``f1`` of its presence; with likelihoods ``map``, here the average precision of its presence, and ``auc``.
All attributes use the same resampled people, so that their means have intervals too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.scoring import baselines
from favchat.evaluation.scoring.choices import Metric, Result, Scoring
from favchat.evaluation.scoring.metrics import UNPARSED, Answers, Floats, confusions, of_confusion, plain, ranking
from favchat.evaluation.scoring.predictions import Row
from favchat.evaluation.scoring.resampling import cluster_weights, interval, resampled
from favchat.labels.attributes import EMOTION, attribute

GROUPS = ("appearance", "action", "emotion")
_NAMES = [emotion.name for emotion in EMOTION]


@dataclass(frozen=True)
class Labels:
    """One attribute over the clips with a known label; class 1 is its presence."""

    answers: Answers
    people: tuple[str, ...]
    counts: NDArray[np.int64]
    """`(2,)` of the training split."""


def attribute_results(items: Sequence[EvalQuestion], rows: Sequence[Row], scoring: Scoring) -> list[Result]:
    """Means over all attributes and over each group, then every attribute, for each answer mode."""
    results: list[Result] = []
    for way in sorted({item.way for item in items}):
        asked = [item for item in items if item.way == way]
        answered = [row for row in rows if row["way"] == way]
        found = labels_by_attribute(answered, scoring.trained)
        everyone = sorted({person for labels in found.values() for person in labels.people})
        numbers = {person: number for number, person in enumerate(everyone)}
        draws = cluster_weights(np.arange(len(everyone)), scoring.resamples, scoring.seed)
        single: dict[str, Result] = {}
        spread: dict[str, dict[str, Floats]] = {}
        for name, labels in found.items():
            places = np.array([numbers[person] for person in labels.people])
            spread[name] = resampled(partial(weighted_metrics, labels.answers), draws[:, places])
            single[name] = _single(name, way, labels, spread[name])
        told = [name for name, labels in found.items() if 0 < labels.answers.truth.sum() < len(labels.answers.truth)]
        for group in ("all", *GROUPS):
            names = [name for name in told if group in ("all", attribute(name).kind)]
            if names:
                results.append(_mean(group, way, names, single, spread, len(everyone)))
        results += single.values()
        unasked = len(asked) - len(answered)
        if unasked and results:
            first = next((place for place, result in enumerate(results) if result.way == way), None)
            if first is None:
                results.append(Result("all", way, len(asked), 0, {}, missing=unasked))
            else:
                results[first] = Result(**{**vars(results[first]), "missing": unasked})
    return results


def labels_by_attribute(rows: Sequence[Row], trained: Sequence[EvalQuestion]) -> dict[str, Labels]:
    """Attribute -> its labels and answers, in the order of ``favchat.labels.attributes``."""
    by_part: dict[str, list[Row]] = {}
    for row in rows:
        by_part.setdefault(row["part"], []).append(row)
    found: dict[str, Labels] = {}
    for part, some in by_part.items():
        people = tuple(row["identity"] for row in some)
        seen = {item.clip_id: item.truth for item in trained if item.part == part and item.truth is not None}
        for name, option in [(n, k) for k, n in enumerate(_NAMES)] if part == "emotion" else [(part, _having(part))]:
            truth = np.array([row["truth"] == option for row in some], np.int64)
            predicted = [UNPARSED if row["answer"] is None else int(row["answer"] == option) for row in some]
            given = [row["probabilities"] for row in some]
            having = np.array([one[option] for one in given]) if all(one is not None for one in given) else None
            known = np.array([right == option for right in seen.values()] or truth, np.int64)
            found[name] = Labels(
                Answers(
                    truth,
                    np.array(predicted, np.int64),
                    2,
                    None if having is None else np.stack([1 - having, having], axis=1),
                ),
                people,
                np.bincount(known, minlength=2),
            )
    return found


def _having(name: str) -> int:
    """Index of the option, yes or no, that corresponds to label 1."""
    return int(attribute(name).negated)


def weighted_metrics(answers: Answers, weights: Floats) -> dict[str, Floats]:
    """The metrics of one attribute under `(R, N)` weights, each `(R,)`."""
    counts = confusions(answers, weights)
    values = of_confusion(counts, confusions(answers, np.ones((1, len(answers.truth)))))
    with np.errstate(invalid="ignore", divide="ignore"):
        values["f1"] = 2 * counts[:, 1, 1] / (counts[:, 1].sum(1) + counts[:, :, 1].sum(1))
    if answers.probabilities is not None:
        ap, auc = ranking(answers.truth == 1, answers.probabilities[:, 1], weights)
        values |= {"map": ap, "auc": auc}
    return values


def metrics_of(answers: Answers) -> dict[str, float]:
    """The metrics of one attribute, computed by scikit-learn."""
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    values = {name: value for name, value in plain(answers).items() if name in ("war", "uar", "macro_f1")}
    values["f1"] = float(f1_score(answers.truth, answers.predicted == 1, zero_division=0))
    if answers.probabilities is not None:
        both = 0 < answers.truth.sum() < len(answers.truth)
        having = answers.probabilities[:, 1]
        values["map"] = float(average_precision_score(answers.truth, having)) if both else float("nan")
        values["auc"] = float(roc_auc_score(answers.truth, having)) if both else float("nan")
    return values


def _single(name: str, way: str, labels: Labels, spread: Mapping[str, Floats]) -> Result:
    answers = labels.answers
    always, drawn = baselines.majority(answers, labels.counts), baselines.prior(answers, labels.counts)
    share, chance = answers.truth.mean(), labels.counts[1] / labels.counts.sum()
    always["f1"] = 2 * share / (1 + share) if labels.counts.argmax() == 1 else 0.0
    drawn["f1"] = 2 * share * chance / (share + chance) if share + chance else 0.0
    drawn |= {"map": float(share), "auc": 0.5}
    few = len(set(labels.people)) < 2
    metrics = {
        metric: Metric(
            value,
            *((None, None) if few else interval(spread[metric])),
            always.get(metric) if metric not in ("map", "auc") else None,
            drawn.get(metric),
        )
        for metric, value in metrics_of(answers).items()
    }
    unparsed = int((answers.predicted == UNPARSED).sum())
    count = len(answers.truth)
    return Result(name, way, count, len(set(labels.people)), metrics, unparsed=unparsed)


def _mean(
    group: str,
    way: str,
    names: Sequence[str],
    single: Mapping[str, Result],
    spread: Mapping[str, Mapping[str, Floats]],
    people: int,
) -> Result:
    metrics = {}
    for metric in single[names[0]].metrics:
        values = [single[name].metrics[metric] for name in names]
        low, high = interval(np.nanmean([filled(spread[name][metric]) for name in names], axis=0))
        beside = [
            None if None in some else float(np.mean(np.array(some, float)))
            for some in ([v.majority for v in values], [v.prior for v in values])
        ]
        metrics[metric] = Metric(float(np.mean([v.value for v in values])), low, high, *beside)
    title = f"{group}: mean of {len(names)} attribute{'s' if len(names) > 1 else ''}"
    asked = sum(single[name].asked for name in names)
    return Result(title, way, asked, people, metrics, unparsed=sum(single[name].unparsed for name in names))


def filled(values: Floats) -> Floats:
    """Replace NaN (resamples with only one value of the attribute) by the mean, so that means stay comparable."""
    known = ~np.isnan(values)
    return np.where(known, values, values[known].mean() if known.any() else np.nan)
