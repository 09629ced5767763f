"""The metrics against scikit-learn, torchmetrics and the field's definitions, on cases made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from favchat.evaluation.scoring.metrics import UNPARSED, Answers, confusion, plain, ranking, weighted


def answers(truth, predicted, classes, probabilities=None):
    given = None if probabilities is None else np.array(probabilities, float)
    return Answers(np.array(truth, np.int64), np.array(predicted, np.int64), classes, given)


def test_war_is_accuracy_and_uar_the_mean_recall():
    # Class 0: 3 of 4 right; class 1: 1 of 2; class 2: 0 of 1.
    found = plain(answers([0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 0, 1], 3))
    assert found["war"] == pytest.approx(4 / 7)
    assert found["uar"] == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    # F1 = 2 TP / (truth + said): 6 / (4 + 4), 2 / (2 + 3), 0 / (1 + 0).
    assert found["macro_f1"] == pytest.approx((6 / 8 + 2 / 5 + 0) / 3)


def test_a_class_that_is_absent_from_the_truth_does_not_count():
    truth, predicted = [0, 0, 1, 1], [0, 3, 1, 1]
    found = plain(answers(truth, predicted, 4))
    assert found["uar"] == pytest.approx((1 / 2 + 1) / 2)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_what_is_unparsed_is_wrong_and_has_a_column_of_its_own():
    some = answers([0, 0, 1], [0, UNPARSED, UNPARSED], 2)
    assert plain(some) == pytest.approx({"war": 1 / 3, "uar": 1 / 4, "macro_f1": (2 / 3) / 2})
    assert confusion(some).tolist() == [[1, 0, 1], [0, 0, 1]]


def test_without_answers_nothing_is_defined():
    assert all(np.isnan(value) for value in plain(answers([], [], 2)).values())


def test_probabilities_give_map_auc_and_ece():
    probabilities = [[0.8, 0.2, 0.0], [0.4, 0.6, 0.0], [0.3, 0.7, 0.0], [0.1, 0.9, 0.0]]
    truth = [0, 0, 1, 1]
    found = plain(answers(truth, [0, 1, 1, 1], 3, probabilities))
    # Class 2 is in nobody's truth: it has neither AUC nor average precision, and is left out.
    assert found["auc"] == pytest.approx(1.0)
    assert found["map"] == pytest.approx(1.0)
    # Each answer alone in its bin of fifteen: |1 - .8|, |0 - .6|, |1 - .7|, |1 - .9| over 4.
    assert found["ece"] == pytest.approx((0.2 + 0.6 + 0.3 + 0.1) / 4, abs=1e-6)


def test_equal_scores_are_ties():
    positive, scores = np.array([True, False, True, False]), np.array([0.5, 0.5, 0.5, 0.1])
    ap, auc = ranking(positive, scores, np.ones((1, 4)))
    assert auc[0] == pytest.approx((0.5 + 1 + 0.5 + 1) / 4) == pytest.approx(roc_auc_score(positive, scores))
    assert ap[0] == pytest.approx(2 / 3) == pytest.approx(average_precision_score(positive, scores))


def test_a_class_that_all_have_has_no_ranking():
    ap, auc = ranking(np.array([True, True]), np.array([0.1, 0.2]), np.ones((2, 2)))
    assert np.isnan(ap).all() and np.isnan(auc).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_weights_count_as_repetitions(seed):
    random = np.random.default_rng(seed)
    count, classes = int(random.integers(1, 30)), int(random.integers(2, 5))
    # Some rows are there twice, so that there are ties.
    probabilities = random.dirichlet(np.ones(classes), count)[random.integers(0, count, count)]
    some = answers(
        random.integers(0, classes, count), random.integers(-1, classes, count), classes, probabilities.tolist()
    )
    weights = random.integers(0, 3, (3, count)).astype(float)
    found = weighted(some, weights)
    for row, times in enumerate(weights.astype(int)):
        again = np.repeat(np.arange(count), times)
        repeated = Answers(some.truth[again], some.predicted[again], classes, probabilities[again])
        for name, value in plain(repeated).items():
            assert found[name][row] == pytest.approx(value, abs=1e-6, nan_ok=True), name
