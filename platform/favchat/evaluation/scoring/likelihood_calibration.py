"""Converts the likelihoods of a question's options to probabilities."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Calibration = Literal["content_free", "length", "none"]


def probabilities(
    log_likelihoods: NDArray[np.float64],
    prior: NDArray[np.float64] | None,
    tokens: NDArray[np.int64],
    how: Calibration = "content_free",
) -> NDArray[np.float64]:
    """Normalise over the options of one question.

    ``content_free`` subtracts the log-likelihood of each option for the same question about a clip without content,
    which removes the model's bias. The content-free prior follows Zhao et al. 2021 (arXiv 2102.09690), the division
    Holtzman et al. 2021 (domain-conditional PMI, arXiv 2104.08315). ``length`` takes the mean over an option's tokens,
    as Brown et al. 2020 (arXiv 2005.14165, section 2.4), because the sum decreases with every token.

    Args:
        log_likelihoods: `(K,)` log p(option | clip, question), summed over the option's tokens, in nats.
        prior: `(K,)` the same for the clip without content; required for ``content_free``.
        tokens: `(K,)` number of tokens of each option.
        how: The correction.

    Returns:
        `(K,)`, summing to 1.

    Raises:
        ValueError: The prior is required and missing.
    """
    scores = log_likelihoods
    if how == "length":
        scores = scores / tokens
    elif how == "content_free":
        if prior is None:
            raise ValueError("the content-free correction needs the likelihoods of a clip without content")
        scores = scores - prior
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()
