"""Strict parser of free answers to closed questions: an answer that does not clearly name one option is unparsed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from favchat.evaluation.scoring.metrics import UNPARSED

YES_NO = ("Yes", "No")

SYNONYMS = {
    "neutral": ("expressionless",),
    "angry": ("anger",),
    "contemptuous": ("contempt",),
    "disgusted": ("disgust",),
    "happy": ("happiness",),
    "fearful": ("fear", "afraid", "scared"),
    "sad": ("sadness",),
    "surprised": ("surprise",),
    "anxious": ("anxiety",),
    "helpless": ("helplessness",),
    "disappointed": ("disappointment",),
}
"""Further words that name an option."""

_STARTS = re.compile(r"[\W_]*(yes|no)\b(?!\s*(?:/|,?\s*(?:and|or)\s+)(?:yes|no)\b)", re.IGNORECASE)
_DENIES = re.compile(r"\b(?:not|no|never|neither|nor|none|without|hardly|rather than|instead of|\w+n't)\b")


def parse(text: str, options: Sequence[str]) -> int:
    """Find the option that an answer names.

    Yes or no must be the first word. Of other options exactly one must occur, or a synonym of it, as whole words in any
    case; an answer with a negation ("not happy") is unparsed unless the option itself has one.

    Args:
        text: The model's answer.
        options: The options.

    Returns:
        The option's index, or ``UNPARSED``.
    """
    if tuple(options) == YES_NO:
        start = _STARTS.match(text)
        return UNPARSED if start is None else int(start.group(1).lower() == "no")
    rest = " ".join(text.lower().split())
    found: set[int] = set()
    words = [(word.lower(), index) for index, option in enumerate(options) for word in _words(option)]
    for word, index in sorted(words, key=lambda pair: -len(pair[0])):  # "receding hair" before "hair"
        shorter = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", " ", rest)
        if shorter != rest:
            found.add(index)
            rest = shorter
    if len(found) != 1 or _DENIES.search(rest):
        return UNPARSED
    return found.pop()


def _words(option: str) -> tuple[str, ...]:
    return option, *SYNONYMS.get(option, ())
