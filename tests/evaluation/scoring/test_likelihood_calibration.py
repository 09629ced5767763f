import numpy as np
import pytest

from favchat.evaluation.scoring.likelihood_calibration import probabilities

LOGS = np.log([0.6, 0.1])
PRIOR = np.log([0.9, 0.05])


def test_what_the_model_says_anyway_counts_for_nothing():
    # 0.6 / 0.9 against 0.1 / 0.05: the second is twice as likely as without the clip.
    expected = np.array([0.6 / 0.9, 0.1 / 0.05])
    found = probabilities(LOGS, PRIOR, np.array([1, 1]))
    assert found == pytest.approx(expected / expected.sum())
    assert found.argmax() == 1


def test_a_longer_option_is_no_less_likely_for_its_length():
    found = probabilities(np.array([-2.0, -3.0]), None, np.array([1, 3]), "length")
    expected = np.exp([-2.0, -1.0])
    assert found == pytest.approx(expected / expected.sum())


def test_none_is_a_softmax():
    assert probabilities(LOGS, None, np.array([1, 1]), "none") == pytest.approx([6 / 7, 1 / 7])


def test_very_unlikely_options_do_not_vanish():
    found = probabilities(np.array([-2000.0, -2001.0]), np.zeros(2), np.array([1, 1]))
    assert found == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])


def test_a_missing_prior_is_named():
    with pytest.raises(ValueError, match="clip without content"):
        probabilities(LOGS, None, np.array([1, 1]))
