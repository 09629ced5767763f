"""Uncertainty: bootstrap intervals over people instead of clips, and paired tests of two models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from favchat.evaluation.scoring.metrics import Answers, Floats, confusions, names, of_confusion, plain, weighted

LEVEL = 0.95
_CHUNK = 100
"""Sets of weights computed at once: of 40,000 answers they take 32 MB."""


class Estimate(NamedTuple):
    """A value and the bounds of its 95 % interval; bounds are None with fewer than two clusters."""

    value: float
    low: float | None
    high: float | None


def cluster_numbers(keys: Sequence[str]) -> NDArray[np.int64]:
    """`(N,)` cluster index of each key."""
    return np.unique(np.asarray(keys, dtype=str), return_inverse=True)[1].astype(np.int64)


def cluster_weights(clusters: NDArray[np.int64], resamples: int, seed: int) -> Floats:
    """Multiplicity of each answer when clusters are resampled with replacement: `(R, N)`.

    The cluster bootstrap (Field and Welsh 2007, JRSS B 69:369): clips of one person are not independent, so people are
    resampled, each with all of their clips.
    """
    count = int(clusters.max()) + 1 if len(clusters) else 0
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / max(count, 1)), size=resamples)
    return drawn[:, clusters].astype(np.float64)


def interval(values: Floats) -> tuple[float | None, float | None]:
    """The percentile interval of resampled values, ignoring NaN; None if all are NaN."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled(metric: Callable[[Floats], dict[str, Floats]], weights: Floats) -> dict[str, Floats]:
    """A weighted metric under R sets of weights, in chunks to bound memory."""
    parts = [metric(weights[begin : begin + _CHUNK]) for begin in range(0, len(weights), _CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def estimates(
    answers: Answers, clusters: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """The metrics of ``metrics.plain`` with their intervals.

    Args:
        answers: N answers.
        clusters: `(N,)` cluster (person) of each answer, see ``cluster_numbers``.
        resamples: Bootstrap samples.
        seed: Of the resampling.
    """
    values = plain(answers)
    if len(np.unique(clusters)) < 2:
        return {name: Estimate(values[name], None, None) for name in names(answers)}
    weights = cluster_weights(clusters, resamples, seed)
    spread = resampled(partial(weighted, answers, same_classes=True), weights)
    return {name: Estimate(values[name], *interval(spread[name])) for name in names(answers)}


def mean_estimate(values: Floats, clusters: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """The mean of one value per answer, with its interval; NaN values are ignored."""
    known = ~np.isnan(values)
    values, clusters = values[known], clusters[known]
    if not len(values):
        return Estimate(float("nan"), None, None)
    if len(np.unique(clusters)) < 2:
        return Estimate(float(values.mean()), None, None)
    weights = cluster_weights(np.unique(clusters, return_inverse=True)[1], resamples, seed)
    spread = weights @ values / weights.sum(1)
    return Estimate(float(values.mean()), *interval(spread))


class Paired(NamedTuple):
    """Comparison of models A and B on the same questions."""

    a: float
    b: float
    difference: Estimate
    """B less A."""
    p: float | None
    """Of the permutation test; None for metrics of probabilities."""


def paired(
    a: Answers, b: Answers, clusters: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Paired]:
    """Compare two models' answers to the same N questions.

    The interval is that of the difference when people are resampled with replacement, the same for both models. The
    permutation test swaps the models' answers to all questions about a person, for each person with probability 1/2; p
    is the fraction of permutations with a difference at least as large, including the observed one (Phipson and Smyth
    2010, arXiv 1603.05766).

    Args:
        a: Of the first model.
        b: Of the second model, with the same truth.
        clusters: `(N,)`.
        resamples: Bootstrap samples, and swaps.
        seed: Of the resampling.

    Raises:
        ValueError: The truths differ.
    """
    if not np.array_equal(a.truth, b.truth):
        raise ValueError("the two models were not asked the same questions")
    shared = [name for name in names(a) if name in names(b)]
    value_a, value_b = plain(a), plain(b)
    bounds: dict[str, tuple[float | None, float | None]] = dict.fromkeys(shared, (None, None))
    p: dict[str, float] = {}
    if len(np.unique(clusters)) > 1:
        weights = cluster_weights(clusters, resamples, seed)
        both = [resampled(partial(weighted, one, same_classes=True), weights) for one in (a, b)]
        bounds = {name: interval(both[1][name] - both[0][name]) for name in shared}
        p = _swap_test(a, b, clusters, resamples, seed)
    return {
        name: Paired(value_a[name], value_b[name], Estimate(value_b[name] - value_a[name], *bounds[name]), p.get(name))
        for name in shared
    }


def paired_means(a: Floats, b: Floats, clusters: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0) -> Paired:
    """As ``paired``, for the mean of one value per answer."""
    known = ~(np.isnan(a) | np.isnan(b))
    difference = (b - a)[known]
    numbers = np.unique(clusters[known], return_inverse=True)[1]
    estimate = mean_estimate(difference, numbers, resamples=resamples, seed=seed)
    p = None
    if estimate.low is not None:
        by_cluster = np.bincount(numbers, weights=difference)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(by_cluster)))
        p = _share_as_large(signs @ by_cluster, by_cluster.sum())
    means = [float(values[known].mean()) if known.any() else float("nan") for values in (a, b)]
    return Paired(means[0], means[1], estimate, p)


def mcnemar(a: Answers, b: Answers) -> tuple[int, int, float]:
    """Number of questions that only A answered correctly, only B, and the exact two-sided p of McNemar's test.

    It assumes independent questions, which those about one person are not; it is reported because it is customary.
    """
    from scipy.stats import binomtest

    right_a, right_b = a.predicted == a.truth, b.predicted == b.truth
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return only_a, only_b, float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _swap_test(a: Answers, b: Answers, clusters: NDArray[np.int64], resamples: int, seed: int) -> dict[str, float]:
    in_cluster = np.equal.outer(np.unique(clusters), clusters).astype(np.float64)  # (C, N)
    counts_a, counts_b = confusions(a, in_cluster), confusions(b, in_cluster)  # (C, K, K + 1)
    swapped = np.random.default_rng(seed).integers(0, 2, size=(resamples, len(in_cluster))).astype(np.float64)
    more = np.tensordot(swapped, counts_b - counts_a, axes=1)  # gain of A and loss of B by the swaps
    null_a, null_b = of_confusion(counts_a.sum(0) + more), of_confusion(counts_b.sum(0) - more)
    seen_a, seen_b = of_confusion(counts_a.sum(0)[None]), of_confusion(counts_b.sum(0)[None])
    return {name: _share_as_large(null_b[name] - null_a[name], seen_b[name][0] - seen_a[name][0]) for name in null_a}


def _share_as_large(null: Floats, observed: float) -> float:
    # A difference equal to the observed one up to rounding counts as large.
    return (1 + int((np.abs(null) >= abs(observed) - 1e-12).sum())) / (1 + len(null))
