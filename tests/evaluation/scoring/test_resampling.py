"""People are drawn, not clips; and two models are compared on the same questions."""

import numpy as np
import pytest

from favchat.evaluation.scoring.metrics import Answers, plain
from favchat.evaluation.scoring.resampling import (
    cluster_numbers,
    cluster_weights,
    estimates,
    mcnemar,
    mean_estimate,
    paired,
    paired_means,
)


def answers(truth, predicted, classes=2):
    return Answers(np.array(truth, np.int64), np.array(predicted, np.int64), classes)


def test_all_clips_of_a_person_are_drawn_together():
    people = cluster_numbers(["b", "a", "b", "c"])
    weights = cluster_weights(people, 50, seed=1)
    assert (weights[:, 0] == weights[:, 2]).all()
    by_person = weights[:, [1, 0, 3]]
    assert (by_person.sum(1) == 3).all()
    assert len(np.unique(by_person, axis=0)) > 3


def test_the_interval_holds_the_value_and_is_wider_for_few_people():
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    predicted = np.where(random.random(400) < 0.7, truth, 1 - truth)
    alone = estimates(answers(truth, predicted), np.arange(400), resamples=500)["war"]
    together = estimates(answers(truth, predicted), np.arange(400) // 40, resamples=500)["war"]
    assert alone.low < alone.value < alone.high
    # 1.96 standard errors of a share of 0.7 of 400.
    assert (alone.high - alone.low) / 2 == pytest.approx(1.96 * np.sqrt(0.7 * 0.3 / 400), rel=0.15)
    same = np.repeat(random.integers(0, 2, 10), 40)
    clustered = estimates(answers(np.ones(400), same), np.arange(400) // 40, resamples=500)["war"]
    assert clustered.high - clustered.low > 3 * (alone.high - alone.low)
    assert together.value == alone.value == plain(answers(truth, predicted))["war"]


def test_a_rare_class_that_is_not_drawn_does_not_raise_the_mean_recall():
    """One answer of a class that is always missed: without it in a draw, the others alone would give UAR 1."""
    some = answers([0] * 20 + [1] * 20 + [2], [0] * 20 + [1] * 20 + [0], 3)
    found = estimates(some, np.arange(41), resamples=300)["uar"]
    assert found.value == pytest.approx(2 / 3)
    assert found.high == pytest.approx(2 / 3)


def test_the_same_seed_gives_the_same_interval():
    some = answers([0, 1] * 10, [0] * 20)
    assert estimates(some, np.arange(20), seed=3) == estimates(some, np.arange(20), seed=3)


def test_one_person_gives_no_interval():
    assert estimates(answers([0, 1], [0, 0]), np.zeros(2, np.int64))["war"] == (0.5, None, None)
    assert mean_estimate(np.array([1.0, 3.0]), np.zeros(2, np.int64)) == (2.0, None, None)


def test_a_mean_leaves_out_what_is_unknown():
    found = mean_estimate(np.array([1.0, np.nan, 3.0]), np.arange(3), resamples=200)
    assert found.value == 2.0
    assert 1 <= found.low <= found.high <= 3
    assert np.isnan(mean_estimate(np.array([np.nan]), np.arange(1)).value)


def test_two_equal_models_do_not_differ():
    some = answers([0, 1] * 20, [0] * 40)
    found = paired(some, some, np.arange(40), resamples=200)
    assert found["war"].difference == (0.0, 0.0, 0.0)
    assert found["war"].p == 1.0


def test_a_better_model_is_seen():
    truth = np.array([0, 1] * 30)
    found = paired(answers(truth, 1 - truth), answers(truth, truth), np.arange(60), resamples=200)
    assert found["uar"].difference.value == 1.0
    assert found["uar"].p == pytest.approx(1 / 201)


def test_people_are_swapped_whole():
    """One person with all the clips: there are two swaps only, each as large as what was seen."""
    truth = np.array([0, 1] * 30)
    people = np.r_[np.zeros(58, np.int64), [1, 1]]
    better = truth.copy()
    worse = np.r_[1 - truth[:58], truth[58:]]
    found = paired(answers(truth, worse), answers(truth, better), people, resamples=200)
    assert found["war"].p == 1.0


def test_other_questions_cannot_be_paired():
    with pytest.raises(ValueError, match="not asked the same questions"):
        paired(answers([0], [0]), answers([1], [0]), np.zeros(1, np.int64))


def test_mcnemar_counts_what_only_one_got_right():
    # Exact binomial: 6 against 0 is p = 2 / 2^6.
    found = mcnemar(answers([0] * 8, [0] * 7 + [1]), answers([0] * 8, [0] + [1] * 7))
    assert found == (6, 0, pytest.approx(2 / 64))
    assert mcnemar(answers([0], [0]), answers([0], [0]))[2] == 1.0


def test_paired_means():
    a, b = np.array([1.0, 2.0, np.nan, 4.0]), np.array([2.0, 3.0, 9.0, 5.0])
    found = paired_means(a, b, np.arange(4), resamples=200)
    assert (found.a, found.b) == (pytest.approx(7 / 3), pytest.approx(10 / 3))
    assert found.difference == (1.0, 1.0, 1.0)
    # All three differ alike: of 8 sign patterns 2 are as large.
    assert 0.1 < found.p < 0.45
