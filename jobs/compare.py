"""Compare two evaluations on the questions that both answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from favchat.evaluation.reporting.compare import Compared


def run(a: str, b: str, *, attributes: Sequence[str] = (), resamples: int = 1000, seed: int = 0) -> list[Compared]:
    """Pair the predictions of two folders of ``favchat evaluate`` (``evaluation.out``), and show the tables.

    Arguments as of :func:`favchat.evaluation.reporting.compare.compare`.

    Raises:
        ConfigError: A folder holds no predictions, the two share no question, or none about an attribute.
    """
    from favchat.evaluation.reporting.compare import compare, show

    found = compare(a, b, attributes=attributes, resamples=resamples, seed=seed)
    show(found)
    return found
