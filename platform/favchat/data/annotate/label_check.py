"""Checks a question and its answer against the labels of the clip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from favchat.data.annotate.known_labels import KnownLabels
from favchat.labels.attribute_parser import Statement, parse_statements
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

ORDER = "order of emotions"
"""What a text contradicts that tells emotions in another order than they are labelled in."""

_EMOTIONS = frozenset(emotion.name for emotion in EMOTION)
_YES_NO = re.compile(r"\s*(yes|no)\b[\s,.:;!-]*", re.IGNORECASE)
_IN_ORDER = re.compile(r"\bthen\b|\blater\b|\bafterwards?\b|\bfinally\b", re.IGNORECASE)
_TURNED_ROUND = re.compile(r"\b(?:before|after|not)\b", re.IGNORECASE)


class Check(NamedTuple):
    """The attributes that a row states, by their agreement with the labels; each is in one of the three."""

    confirmed: tuple[str, ...]
    contradicted: tuple[str, ...]
    neutral: tuple[str, ...]
    """Nobody labelled these."""

    @property
    def stated(self) -> tuple[str, ...]:
        """All attributes that the row states, except a sex that it only presupposes ("the woman")."""
        return self.confirmed + self.contradicted + self.neutral


def truths(labels: KnownLabels) -> dict[str, bool]:
    """Attribute -> whether its statement is true, for the known attributes."""
    known = {a.name: True for a in labels.true} | {a.name: False for a in labels.false}
    shown = {emotion.name for emotion in labels.emotions}
    if shown:
        known |= {emotion.name: emotion.name in shown for emotion in EMOTION}
    return known


def check(question: str, answer: str, answer_type: str, known: Mapping[str, bool], order: tuple[str, ...]) -> Check:
    """Compare a row with the labels.

    Checked are the statements of the answer and the presuppositions of the question ("the woman"). The answer "yes"
    states what a yes/no question asks. "No" denies it if it is one attribute; if there are several, "no" contradicts
    the labels only where all of them are true.

    Args:
        question: The question.
        answer: Its answer.
        answer_type: ``yes_no``, ``choice``, ``open`` or ``temporal``.
        known: The clip's labels, see :func:`truths`.
        order: The emotions of its segments; empty unless they change.
    """
    start = _YES_NO.match(answer)
    said = list(parse_statements(answer[start.end() :] if start else answer))
    asked = parse_statements(question)
    said += [statement for statement in asked if statement.presupposed]
    wrong: set[str] = set()
    if start and answer_type == "yes_no":
        claims = {statement for statement in asked if not statement.presupposed}
        if start.group(1).lower() == "yes":
            said += claims
        elif len(claims) == 1:
            said += [claim._replace(holds=not claim.holds) for claim in claims]
        elif claims and all(known.get(claim.name) is claim.holds for claim in claims):
            wrong |= {claim.name for claim in claims}
    right: set[str] = set()
    neutral: set[str] = set()
    for statement in said:
        truth = known.get(statement.name)
        if truth is None:
            neutral.add(statement.name)
        elif truth is statement.holds:
            if not statement.presupposed:
                right.add(statement.name)
        else:
            wrong.add(statement.name)
    if _order_is_wrong(answer, said, order):
        wrong.add(ORDER)
    return Check(tuple(sorted(right - wrong)), tuple(sorted(wrong)), tuple(sorted(neutral)))


def _order_is_wrong(answer: str, said: list[Statement], order: tuple[str, ...]) -> bool:
    """Whether the emotions that the answer tells in order are no subsequence of the labelled ones."""
    if not order or not _IN_ORDER.search(answer) or _TURNED_ROUND.search(answer):
        return False
    told = [statement.name for statement in said if statement.name in _EMOTIONS and statement.holds]
    rest = iter(order)
    return len(set(told)) > 1 and not all(name in rest for name in _once_each(told))


def _once_each(names: list[str]) -> list[str]:
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


NAMES = frozenset(a.name for a in (*APPEARANCE, *ACTION, *EMOTION))
"""All attributes; every name but ``ORDER`` in a ``Check`` is one of these."""
