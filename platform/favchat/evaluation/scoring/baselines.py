"""Baselines that ignore the clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from favchat.evaluation.scoring.metrics import Answers, of_confusion, plain


def majority(answers: Answers, counts: NDArray[np.int64]) -> dict[str, float]:
    """The metrics of always giving the most frequent answer.

    Args:
        answers: The questions.
        counts: `(K,)` class frequencies, such as in the training split; ties go to the first.
    """
    constant = np.full_like(answers.truth, int(counts.argmax()))
    return plain(Answers(answers.truth, constant, answers.classes))


def prior(answers: Answers, counts: NDArray[np.int64]) -> dict[str, float]:
    """The metrics of sampling answers from the class frequencies: WAR, UAR and F1 of the expected counts.

    Its probabilities are these frequencies, equal for all clips: AUC is 0.5, mAP the mean frequency of the classes,
    ECE the difference between the two sets of frequencies.
    """
    shares = counts / counts.sum()
    truth = np.bincount(answers.truth, minlength=answers.classes)
    expected = np.concatenate([np.outer(truth, shares), np.zeros((answers.classes, 1))], axis=1)
    values = {name: float(found[0]) for name, found in of_confusion(expected[None]).items()}
    if answers.probabilities is not None:
        values |= {
            name: value
            for name, value in plain(
                Answers(
                    answers.truth,
                    answers.predicted,
                    answers.classes,
                    np.broadcast_to(shares, (len(answers.truth), answers.classes)).copy(),
                )
            ).items()
            if name not in values
        }
    return values
