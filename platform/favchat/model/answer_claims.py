"""What an answer claims of a face that the scores decide, and how likely they hold it to be.

The other side of :mod:`favchat.model.answers_by_score`, which makes answers of scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from favchat.labels.attribute_parser import parse_statements
from favchat.labels.attributes import attribute
from favchat.model.answers_by_score import is_whole, start_of_answer
from favchat.model.closed_questions import asked_attribute

TINY = 1e-6
"""A score is taken to be no further than this from 0 and 1: one that rounds to 0 has a logarithm, too."""


class Claim(NamedTuple):
    """That an attribute's statement holds, or does not."""

    name: str
    holds: bool


def claims_of(
    question: str, answer: str, scores: Mapping[str, float], likely: Mapping[str, float]
) -> tuple[list[Claim], str]:
    """What the scores decide of an answer.

    Args:
        question: What was asked.
        answer: The answer, the model's own or another one.
        scores: See :func:`favchat.model.answers_by_score.start_of_answer`.
        likely: See there.

    Returns:
        The claims, and the beginning of the answer that they stand for: the whole answer where it is the one that the
        scores give, with no claims where a rule gives it ("I can't tell that from this video."); "Yes" or "No" of
        another answer to a question about one taught attribute; else nothing.
    """
    text = answer.strip()
    asked, start = asked_attribute(question), start_of_answer(question, scores, likely)
    given = start is not None and is_whole(start) and text == start.strip()
    if asked is not None and asked[0] in scores:
        for word in ("Yes", "No"):
            if text.lower().startswith(word.lower()) and not text[len(word) : len(word) + 1].isalpha():
                return [Claim(asked[0], asked[1] is (word == "Yes"))], text if given else text[: len(word)]
        return [], ""
    if not given:
        return [], ""
    said = [one for one in parse_statements(text) if not one.presupposed and one.name in scores]
    return [*dict.fromkeys(Claim(one.name, one.holds) for one in said)], text


def log_likelihood(claims: Sequence[Claim], scores: Mapping[str, float]) -> float:
    """The logarithm of the probability that all claims hold, as if they did so independently, 0 of none.

    Args:
        claims: The claims.
        scores: Taught attribute -> score.
    """
    total = 0.0
    for name, holds in claims:
        # The statement of no_beard is that of the beard.
        true = 1 - scores[name] if attribute(name).negated else scores[name]
        total += math.log(min(max(true if holds else 1 - true, TINY), 1 - TINY))
    return total
