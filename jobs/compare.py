"""Compare two evaluations on the questions that both answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from favchat.evaluation.compare import Compared


def run(a: str, b: str, *, resamples: int = 1000, seed: int = 0) -> list[Compared]:
    """Pair the predictions of two folders of ``favchat evaluate`` (``evaluation.out``), and show the tables.

    Raises:
        ConfigError: A folder holds no predictions, or the two share no question.
    """
    from favchat.evaluation.compare import compare, show

    found = compare(a, b, resamples=resamples, seed=seed)
    show(found)
    return found
