"""Keeps words and scores together.

The answer to a yes/no question about one attribute is the sentence that training taught for what its score says; an
open question about the face is answered by :mod:`favchat.model.open_answers`. Yes/no questions are read by the grammar
that checks annotations against labels (``favchat.labels.attribute_parser``), after everyday words are replaced by its
own. A question that it does not understand, or that asks for several things at once, is left to the language model
alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from favchat.data.annotate.everyday_writer import person_of, statement_of
from favchat.labels.attribute_parser import parse_statements
from favchat.labels.attributes import EMOTION, attribute
from favchat.labels.everyday_templates import CANNOT_TELL
from favchat.model.open_answers import known_from, open_answer
from favchat.model.refusals import refusal

_ASKS = re.compile(
    r"^(?:yes or no[:,]? *)?(?:is|are|does|do|has|have|can|could|would|any|i think|it is|she|he|they|this|the|that)\b"
)
_OTHER = re.compile(r"\b(?:or|what|which|who|whose|how|where|when|why|describe|change|changes)\b")
_ABILITY = re.compile(
    r"^(?:can|could) (?:they|he|she|(?:the|this|that) [a-z]+) (?:speak|talk)\b|\bspeaks? (?!up\b)[a-z]+\?"
)
"""What somebody can do, or does in general, is not what the clip shows."""
_EMOTIONS = [emotion.name for emotion in EMOTION]

_SAME = tuple(
    (re.compile(words), plain)
    for words, plain in (
        (r"^yes or no\b[:,]?|,? yes or no\b|,? or not\b", ""),
        (r"\b(?:the|this|that) (?:person|man|woman|guy|lady|girl|boy)(?: in the (?:video|clip|picture))?'s\b", "their"),
        (r"\b(?:cap or (?:a )?hat|hat or (?:a )?cap|something on (?:the|their|his|her) head)\b", "hat"),
        (r"\bhead (?:is )?covered\b", "hat"),
        (r"\bcurly or wavy\b|\bwavy or curly\b|\bcurly\b", "wavy"),
        (r"\b(?:older|more) than (?:sixty|60)(?: years old)?\b", "over sixty"),
        (r"\b(?:an? )?(?:senior|elderly|old)(?: (?:person|man|woman|lady|guy))?\b", "over sixty"),
        (r"\blost (?:their|his|her|the) hair\b|\bwithout hair\b", "bald"),
        (r"\bhairline (?:is )?receding\b|\bhair recede\b|\blosing hair\b|\bhigh hairline\b", "receding hairline"),
        (r"\bhair (?:covers?|over) (?:the|their|his|her) forehead\b", "bangs"),
        (r"\bfair hair\b|\bblonde?\b(?! hair)|\bhair blonde?\b", "blonde hair"),
        (r"\bwhite hair\b|\bgone gr[ae]y\b", "gray hair"),
        (r"\bhair (?:down )?to (?:the|their|his|her) shoulders\b", "long hair"),
        (r"\bround,? (?:full )?face\b", "chubby face"),
        (r"\blips (?:are )?painted\b|\bpainted lips\b", "lipstick"),
        (r"\b(?:a lot of|much|lots of) make-?up\b", "heavy makeup"),
        (r"\bunshaven\b", "stubble"),
        (r"\b(?:face )?(?:clean[- ])?shaven\b", "clean-shaven"),
        (r"\bbeard (?:is )?a goatee\b|\bbeard around the mouth\b", "goatee"),
        (r"\bbeard (?:is )?a full one\b|\bthick beard\b", "full beard"),
        (r"\bhair on (?:the|their|his|her) upper lip\b", "mustache"),
        (r"\bknitting (?:the|their|his|her) brows\b", "frowning"),
        (r"\b(?:teeth|lips (?:are )?apart)\b", "open mouth"),
        (r"\blips (?:are )?closed\b", "closed mouth"),
        (r"\bgaze (?:is )?turned away\b|\blooking (?:to the side|somewhere else)\b", "looking away"),
        (r"\bgaze (?:is )?on the camera\b", "looking at the camera"),
        (r"\bwaves in (?:the|their|his|her) hair\b", "wavy hair"),
        (r"\bhead (?:is )?(?:being )?shaken\b", "shaking their head"),
        (r"\bhead (?:goes|go) (?:left and right|from side to side)\b", "shaking their head"),
        (r"\bmov(?:e|es|ing) (?:the|their|his|her) head (?:from side to side|left and right)\b", "shaking their head"),
        (r"\bhead (?:goes|go) up and down\b|\bmov(?:e|es|ing) (?:the|their|his|her) head up and down\b", "nodding"),
        (r"\b(?:tilt|rock)(?:s|ing)? (?:the|their|his|her) head\b|\bhead tilt(?:s|ing)?\b", "wagging their head"),
        (r"\bsay(?:s|ing)? (?:something|anything)\b", "talking"),
        (r"\bunsharp\b", "blurry"),
        (r"\b(?:sharp|in focus)\b", "not blurry"),
        (r"\bgr[ae]y picture\b", "black and white picture"),
        (r"\bcolou?r picture\b", "picture in colour"),
        (r"\b(?:in a good mood|cheerful)\b", "happy"),
        (r"\bmad\b", "angry"),
        (r"\ba he\b", "a man"),
        (r"\ba she\b", "a woman"),
    )
)
"""Everyday words, and the grammar's own for the same."""
_WHOLE = {"full_beard": {"no_beard"}, "no_beard": {"goatee", "mustache"}}
"""What a word for the first says of the others too: a full beard, and clean-shaven."""


def start_of_answer(question: str, scores: Mapping[str, float], likely: Mapping[str, float]) -> str | None:
    """How the answer to a question has to begin.

    Args:
        question: What was asked.
        scores: Taught attribute -> score, see :class:`favchat.face_scores.values.AttributeScore`.
        likely: Taught attribute -> probability with its frequency in training, likewise.

    Returns:
        The whole answer, see :func:`is_whole`: to a yes/no question about a taught attribute, as the score says; to an
        open question; or that it cannot tell: an attribute that the model was not taught, what no face shows, who it
        is. None where the language model decides.
    """
    asked = asked_attribute(question)
    if asked is None:
        return open_answer(question, scores, likely) or refusal(question, scores.keys())
    name, holds = asked
    if name not in scores:
        return CANNOT_TELL
    if name in _EMOTIONS:
        present = max((one for one in _EMOTIONS if one in scores), key=lambda one: scores[one]) == name
    else:
        present = scores[name] > 0.5
    # The statement of no_beard is that of the beard.
    true = present != attribute(name).negated
    shown = known_from(scores, likely)
    if name == "male":  # it is asked for: the score alone decides
        shown |= {"male": present}
    statement = statement_of(name, true, person_of(shown), shaven="shaven" in question.lower())
    return f"{'Yes' if true is holds else 'No'}, {statement}."


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


def asked_attribute(question: str) -> tuple[str, bool] | None:
    """The one attribute that a yes/no question asks for, and whether "yes" says that its statement holds.

    None of a question of another kind, or one that is not understood.
    """
    text = question.strip().lower().replace("’", "'")
    if not text.endswith(("?", ".")):
        return None
    asks = _ASKS.match(text) is not None or (len(text.split()) <= 6 and text.endswith("?"))
    for words, plain in _SAME:
        text = words.sub(plain, text)
    if not asks or _OTHER.search(text) or _ABILITY.search(text):
        return None
    said = {one.name: one.holds for one in parse_statements(text) if not one.presupposed}
    for name, others in _WHOLE.items():
        if name in said and said.keys() - {name} <= others:
            said = {name: said[name]}
    return next(iter(said.items())) if len(said) == 1 else None
