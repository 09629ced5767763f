"""What an answer is worth that looks at no clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from favchat.evaluation.scoring.metrics import Answers, of_confusion, plain


def majority(answers: Answers, counts: NDArray[np.int64]) -> dict[str, float]:
    """The metrics of always giving the answer that is right most often.

    Args:
        answers: The questions.
        counts: `(K,)` how often each class is right where the frequencies are taken from; of equal ones the first.
    """
    constant = np.full_like(answers.truth, int(counts.argmax()))
    return plain(Answers(answers.truth, constant, answers.classes))


def prior(answers: Answers, counts: NDArray[np.int64]) -> dict[str, float]:
    """The metrics of drawing each answer with the classes' frequencies: WAR, UAR and F1 of the expected counts.

    Its probabilities are these frequencies, the same for every clip: AUC is one half, mAP the mean share of the
    classes, ECE what the frequencies differ by.
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
