"""Metrics of closed questions, as scikit-learn and torchmetrics define them, and weighted ones for resampling.

Shapes: N answers, K classes, R sets of weights. A weight is the multiplicity of an answer; ones give the plain metric.

- WAR, weighted average recall: the fraction of correct answers.
- UAR, unweighted average recall: the mean recall over the classes that are present in the truth.
- macro-F1: the mean F1 over the classes that are present in the truth. Answers with an absent class, or unparsed ones,
  lower the recall of the true class.
- mAP and AUC: one-vs-rest, mean over the classes that are the truth of some but not all answers.
- ECE: expected calibration error of the most probable class, 15 equal bins (Guo et al. 2017, arXiv 1706.04599).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNPARSED = -1
"""Stands for an answer that names no option."""
BINS = 15

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Answers to N questions over the same K classes."""

    truth: Ints
    """`(N,)` the right class of each."""
    predicted: Ints
    """`(N,)` the answered class, or ``UNPARSED``."""
    classes: int
    """K."""
    probabilities: Floats | None = None
    """`(N, K)`, rows summing to 1; None where answers are words alone."""


def plain(answers: Answers) -> dict[str, float]:
    """The metrics of all answers, computed by scikit-learn and torchmetrics.

    Returns:
        ``war``, ``uar``, ``macro_f1``, and with probabilities ``map``, ``auc`` and ``ece``; NaN where one is undefined
        (no answers; no class that is both present and absent).
    """
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    truth, predicted = answers.truth, answers.predicted
    if not len(truth):
        return dict.fromkeys(names(answers), float("nan"))
    present = np.unique(truth)
    macro = {"labels": present, "average": "macro", "zero_division": 0}
    values = {
        "war": float(accuracy_score(truth, predicted)),
        "uar": float(recall_score(truth, predicted, **macro)),
        "macro_f1": float(f1_score(truth, predicted, **macro)),
    }
    if answers.probabilities is not None:
        values |= _of_probabilities(truth, answers.probabilities)
    return values


def names(answers: Answers) -> list[str]:
    """Names of the metrics that these answers have."""
    return ["war", "uar", "macro_f1", *(["map", "auc", "ece"] if answers.probabilities is not None else [])]


def _of_probabilities(truth: Ints, probabilities: Floats) -> dict[str, float]:
    import torch
    from sklearn.metrics import average_precision_score, roc_auc_score
    from torchmetrics.functional.classification import multiclass_calibration_error

    split = [k for k in range(probabilities.shape[1]) if 0 < np.count_nonzero(truth == k) < len(truth)]
    aps = [average_precision_score(truth == k, probabilities[:, k]) for k in split]
    aucs = [roc_auc_score(truth == k, probabilities[:, k]) for k in split]
    ece = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(truth), num_classes=probabilities.shape[1], n_bins=BINS
    )
    return {
        "map": float(np.mean(aps)) if aps else float("nan"),
        "auc": float(np.mean(aucs)) if aucs else float("nan"),
        "ece": float(ece),
    }


def weighted(answers: Answers, weights: Floats, *, same_classes: bool = False) -> dict[str, Floats]:
    """The same metrics under R sets of weights, each `(R,)`; integer weights are equivalent to repeated answers.

    Args:
        answers: The answers.
        weights: `(R, N)`, 0 or more.
        same_classes: Average over the classes of all answers under any weights; a class whose answers all have weight 0
            keeps its unweighted value. Otherwise UAR would rise whenever a rare, hard class is not drawn.
    """
    everything = np.ones((1, len(answers.truth))) if same_classes else None
    values = of_confusion(confusions(answers, weights), None if everything is None else confusions(answers, everything))
    if answers.probabilities is not None:
        ap, auc = _rankings(answers.truth, answers.probabilities, weights)
        if everything is not None:
            fallback = _rankings(answers.truth, answers.probabilities, everything)
            ap, auc = (np.where(np.isnan(some), one, some) for some, one in zip((ap, auc), fallback, strict=True))
        ece = _ece(answers.truth, answers.probabilities, weights)
        values |= {"map": mean_of_known(ap), "auc": mean_of_known(auc), "ece": ece}
    return values


def confusion(answers: Answers) -> Ints:
    """`(K, K + 1)` counts: rows truth, columns answers, the last one unparsed."""
    counts = np.zeros((answers.classes, answers.classes + 1), np.int64)
    np.add.at(counts, (answers.truth, _columns(answers)), 1)
    return counts


def confusions(answers: Answers, weights: Floats) -> Floats:
    """`(R, K, K + 1)` weighted counts."""
    width = answers.classes + 1
    cells = answers.truth * width + _columns(answers)
    one_hot = np.zeros((len(cells), answers.classes * width))
    one_hot[np.arange(len(cells)), cells] = 1
    return (weights @ one_hot).reshape(-1, answers.classes, width)


def of_confusion(counts: Floats, fallback: Floats | None = None) -> dict[str, Floats]:
    """WAR, UAR and macro-F1 of weighted counts `(R, K, K + 1)`, each `(R,)`; NaN where all counts are 0.

    Args:
        counts: The counts.
        fallback: Counts `(1, K, K + 1)` whose recall and F1 replace those of classes that are absent from `counts`.
    """
    recall, f1 = _by_class(counts)
    if fallback is not None:
        recall, f1 = (
            np.where(np.isnan(some), one, some) for some, one in zip((recall, f1), _by_class(fallback), strict=True)
        )
    right = np.diagonal(counts[..., :-1], axis1=-2, axis2=-1).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        war = right / counts.sum((-2, -1))
    return {"war": war, "uar": mean_of_known(recall), "macro_f1": mean_of_known(f1)}


def _by_class(counts: Floats) -> tuple[Floats, Floats]:
    """Recall and F1 of each class, `(R, K)`; NaN if it is absent from the truth."""
    right = np.diagonal(counts[..., :-1], axis1=-2, axis2=-1)  # (R, K)
    true, said = counts.sum(-1), counts[..., :-1].sum(-2)  # (R, K) each
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, right / true, np.nan), np.where(true > 0, 2 * right / (true + said), np.nan)


def mean_of_known(values: Floats) -> Floats:
    """The mean over the last axis ignoring NaN; NaN if all are."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)


def _columns(answers: Answers) -> Ints:
    return np.where(answers.predicted == UNPARSED, answers.classes, answers.predicted)


def _rankings(truth: Ints, probabilities: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Average precision and AUC of each class, `(R, K)`."""
    pairs = [ranking(truth == k, probabilities[:, k], weights) for k in range(probabilities.shape[1])]
    aps, aucs = zip(*pairs, strict=True)
    return np.stack(aps, axis=-1), np.stack(aucs, axis=-1)


def ranking(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Average precision and area under the ROC curve under R sets of weights; equal scores are ties.

    Args:
        positive: `(N,)`.
        scores: `(N,)`, higher for positive.
        weights: `(R, N)`.

    Returns:
        Two `(R,)`; NaN where the positives or the negatives have total weight 0.
    """
    order = np.argsort(-scores, kind="stable")
    steps = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    ranked = weights[:, order]
    of_positive = np.add.reduceat(ranked * positive[order], steps, axis=1)  # (R, steps)
    of_negative = np.add.reduceat(ranked * ~positive[order], steps, axis=1)
    found, wrong = of_positive.cumsum(1), of_negative.cumsum(1)
    all_positive, all_negative = found[:, -1], wrong[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(of_positive > 0, found / (found + wrong), 0)
        ap = (of_positive * precision).sum(1) / all_positive
        below = all_negative[:, None] - wrong
        auc = (of_positive * (below + of_negative / 2)).sum(1) / (all_positive * all_negative)
    both = (all_positive > 0) & (all_negative > 0)
    return np.where(both, ap, np.nan), np.where(both, auc, np.nan)


def _ece(truth: Ints, probabilities: Floats, weights: Floats) -> Floats:
    confidence = probabilities.max(1)
    gap = (probabilities.argmax(1) == truth) - confidence
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    in_bin = np.zeros((len(bins), BINS))
    in_bin[np.arange(len(bins)), bins] = gap
    with np.errstate(invalid="ignore"):
        return np.abs(weights @ in_bin).sum(1) / weights.sum(1)
