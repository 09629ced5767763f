"""Questions that name what they ask for: one attribute, several at once, or a choice between some.

They are read by the grammar that checks annotations against labels (``favchat.labels.attribute_parser``), after
everyday words are replaced by its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from favchat.labels.attribute_parser import parse_statements
from favchat.labels.everyday_words import in_vocabulary
from favchat.labels.question_text import LONGEST, asking_sentences, core, plain_words
from favchat.labels.question_words import is_about_course, unknown_matter, unknown_words
from favchat.model.refusals import refusal

_ASKS = re.compile(
    r"(?:^|[,;:] *|\b(?:and|but|so|then) )(?:is|are|was|were|does|do|did|has|have|had|can|could|would|any|it is|this|"
    r"that|"
    r"they|there|isn't|aren't|doesn't|don't|hasn't|haven't)\b"
)
_OTHER = re.compile(
    r"\b(?:what|which|who|whose|whom|how|where|when|why|changes?)\b|"
    r"^(?:please )?(?:describe|tell|give|name|list|write|say|show|explain|summari[sz]e|caption|guess|choose|pick)\b"
)
_ABILITY = re.compile(r"^(?:can|could) they (?:speak|talk)\b|\bspeaks? (?!up\b|in\b|or\b|to\b|at\b)[a-z]+$")
"""What somebody can do, or does in general, is not what the clip shows."""
_TAKEN_FOR_GRANTED = re.compile(r"^(?:is|are|does|do|has|have) they (?:with|in|who|wearing)\b(?! .*\b(?:and|or)\b)")
"""How somebody is told from others: "is the woman with the hat smiling?"."""
_FRAGMENT = 6
"""Words of the longest question without a verb: "black hair or brown?"."""
_WHOLE = {"full_beard": {"no_beard"}, "no_beard": {"goatee", "mustache"}}
"""What a word for the first says of the others too: a full beard, and clean-shaven."""


class Closed(NamedTuple):
    """What a closed question asks for."""

    said: Mapping[str, bool]
    """Attribute -> whether its statement is said to hold."""
    is_choice: bool
    """Whether it asks which of them holds, rather than whether all do."""


def closed_question(question: str) -> Closed | None:
    """Read a question of one sentence; None of another kind, of one that is refused, or that is not understood."""
    return _read(question) if len(question) <= LONGEST else None


@lru_cache(maxsize=4096)
def _read(question: str) -> Closed | None:
    sentences = asking_sentences(question)
    if len(sentences) != 1 or refusal(sentences[0]) is not None:
        return None
    text = core(plain_words(sentences[0]))
    if is_about_course(text) or (len(question.split()) == 1 and not question.strip().endswith(("?", "."))):
        return None
    asks = _ASKS.search(text) is not None or len(text.split()) <= _FRAGMENT
    text = in_vocabulary(text)
    if not asks or _OTHER.search(text) or _ABILITY.search(text) or unknown_matter(text) is not None:
        return None
    statements = [(one.name, one.holds) for one in parse_statements(text) if not one.presupposed]
    if _TAKEN_FOR_GRANTED.match(text):
        statements = statements[-1:]
    said = dict(statements)
    if len(said) < len(set(statements)):  # the same attribute both ways: "glasses or no glasses"
        return Closed(MappingProxyType(dict.fromkeys(said, True)), True) if len(said) == 1 else None
    if said.get("full_beard"):
        said.pop("no_beard", None)
    for name, others in _WHOLE.items():
        if name in said and said.keys() - {name} <= others:
            said = {name: said[name]}
    is_choice = re.search(r"\bor\b", text) is not None and len(said) > 1
    if not said or (re.search(r"\bor\b", text) and (unknown_words(text) or not all(said.values()))):
        return None
    return Closed(MappingProxyType(said), is_choice)


def asked_attribute(question: str) -> tuple[str, bool] | None:
    """The one attribute that a yes/no question asks for, and whether "yes" says that its statement holds.

    None of a question of another kind, or one that is not understood.
    """
    closed = closed_question(question)
    if closed is None or closed.is_choice or len(closed.said) != 1:
        return None
    return next(iter(closed.said.items()))
