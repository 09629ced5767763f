"""Keeps words and scores together.

The answer to a closed question (:mod:`favchat.model.closed_questions`) is the sentence that training taught for what
the scores say; an open question about the face is answered by :mod:`favchat.model.open_answers`. What no face shows,
and what names nothing that was taught, is refused (:mod:`favchat.model.refusals`). A question that names something
taught and is still not understood is left to the language model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from favchat.data.annotate.everyday_writer import person_of, statement_of
from favchat.data.annotate.grammar import sentence
from favchat.labels.attributes import EMOTION, attribute
from favchat.labels.everyday_templates import CANNOT_IDENTIFY, CANNOT_TELL, ENGLISH_ONLY
from favchat.labels.question_text import LONGEST, asking_sentences
from favchat.model.closed_questions import Closed, asked_attribute, closed_question
from favchat.model.open_answers import EXCLUSIVE, known_from, open_answer
from favchat.model.refusals import asks_nothing_taught, asks_who, refusal

_EMOTIONS = [emotion.name for emotion in EMOTION]
_REFUSALS = (CANNOT_IDENTIFY, CANNOT_TELL, ENGLISH_ONLY)


def start_of_answer(question: str, scores: Mapping[str, float], likely: Mapping[str, float]) -> str | None:
    """How the answer to a question has to begin.

    Args:
        question: What was asked; of several questions in a message each is answered, in their order.
        scores: Taught attribute -> score, see :class:`favchat.face_scores.values.AttributeScore`.
        likely: Taught attribute -> probability with its frequency in training, likewise.

    Returns:
        The whole answer, see :func:`is_whole`: to a closed question about taught attributes, as the scores say; to an
        open question; or that it cannot tell: an attribute that the model was not taught, what no face shows, who it
        is. None where the language model decides.
    """
    if len(question) > LONGEST:  # only whether it asks who somebody is
        return CANNOT_IDENTIFY if asks_who(question[:LONGEST]) or asks_who(question[-LONGEST:]) else None
    answers = [_answer(one, scores, likely) for one in asking_sentences(question)]
    if None in answers:  # the language model would answer the refused one too
        return next((one for one in _REFUSALS if one in answers), None)
    return " ".join(dict.fromkeys(one for one in answers if one))


def _answer(question: str, scores: Mapping[str, float], likely: Mapping[str, float]) -> str | None:
    """As :func:`start_of_answer`, of one sentence."""
    refused = refusal(question)
    if refused is not None:
        return refused
    closed = closed_question(question)
    if closed is not None:
        if not closed.said.keys() <= scores.keys():
            return CANNOT_TELL
        topic = open_answer(question, scores, likely) if closed.is_choice else None  # "young or old?"
        return topic or _closed_answer(closed, question, scores, likely)
    told = open_answer(question, scores, likely)
    return told or (CANNOT_TELL if asks_nothing_taught(question, scores.keys()) else None)


def _closed_answer(closed: Closed, question: str, scores: Mapping[str, float], likely: Mapping[str, float]) -> str:
    # Whether it is a man comes first.
    true = {name: _holds(name, scores) for name in sorted(closed.said, key=lambda name: name != "male")}
    shown = known_from(scores, likely)
    if "male" in true:  # it is asked for: the score alone decides
        shown |= {"male": true["male"]}
    person, shaven = person_of(shown), "shaven" in question.lower()
    if not closed.is_choice:
        said = " and ".join(statement_of(name, true[name], person, shaven=shaven) for name in true)
        yes = all(true[name] is holds for name, holds in closed.said.items())
        return f"{'Yes' if yes else 'No'}, {said}."
    if set(true) <= set(_EMOTIONS):  # one of the eight is always shown
        there = [name for name in _EMOTIONS if name in scores and _holds(name, scores)]
    else:
        there = _compatible(sorted((name for name in true if true[name]), key=lambda name: -scores[name]))
    said = " and ".join(statement_of(name, True, person) for name in there)
    return sentence(said or " and ".join(statement_of(name, False, person) for name in true))


def _compatible(names: Sequence[str]) -> list[str]:
    """Attributes of which one person may have all, of those that exclude each other the first."""
    kept: list[str] = []
    for name in names:
        if not any(name in group and one in group for group in EXCLUSIVE for one in kept):
            kept.append(name)
    return kept


def _holds(name: str, scores: Mapping[str, float]) -> bool:
    """Whether an attribute's statement is true by its score; of the emotions the likeliest one is."""
    if name in _EMOTIONS:
        return max((one for one in _EMOTIONS if one in scores), key=lambda one: scores[one]) == name
    return (scores[name] > 0.5) != attribute(name).negated  # the statement of no_beard is that of the beard


def probability_of_yes(question: str, scores: Mapping[str, float]) -> float | None:
    """How likely the scores hold "yes" to be, 0..1; None where they do not decide. Arguments as above."""
    asked = asked_attribute(question)
    if asked is None or asked[0] not in scores:
        return None
    name, holds = asked
    true = 1 - scores[name] if attribute(name).negated else scores[name]
    return true if holds else 1 - true


def is_whole(start: str | None) -> bool:
    """Whether nothing follows a start: it is a sentence by itself."""
    return start is not None and start.endswith(".")
