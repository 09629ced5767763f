"""Typing errors in the words that questions about a face are made of."""

from __future__ import annotations

import re
from functools import lru_cache

_OFTEN_MISTYPED = str.split(
    "wearing glasses eyeglasses spectacles sunglasses smiling smiles smile laughing frowning talking "
    "speaking nodding shaking beard bearded mustache moustache goatee stubble earrings earring necklace "
    "necktie lipstick makeup looking camera mouth closed blonde brown black curly straight young happy "
    "angry surprised scared disgusted neutral person woman describe doing happening colour hairline "
    "receding fringe bangs chubby expression emotion feeling wears video picture hairstyle shaven singing "
    "crying eating drinking sleeping blinking"
)
_NO_ERROR = frozenset(
    str.split("bread wares close closes smiled surprise disgust scarred similes stinging")
) | frozenset(_OFTEN_MISTYPED)


def without_typing_errors(text: str) -> str:
    """Replace words that are one of ``_OFTEN_MISTYPED`` but for a letter left out, doubled, swapped or too many."""
    return re.sub(r"[a-z]{5,}", lambda found: _mended(found.group()), text)


@lru_cache(maxsize=4096)
def _mended(word: str) -> str:
    if word in _NO_ERROR:
        return word
    for known in _OFTEN_MISTYPED:
        if word[0] == known[0] and abs(len(word) - len(known)) <= 1 and len(known) >= 5 and _one_slip(word, known):
            return known
    return word


def _one_slip(word: str, known: str) -> bool:
    if len(word) == len(known):
        differ = [place for place in range(len(word)) if word[place] != known[place]]
        swapped = len(differ) == 2 and differ[1] == differ[0] + 1
        return swapped and word[differ[0]] == known[differ[1]] and word[differ[1]] == known[differ[0]]
    short, long = sorted((word, known), key=len)
    return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))
