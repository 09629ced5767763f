"""Texts that nearly repeat each other, by MinHash (Broder 1997) over pairs of neighbouring words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from datasketch import MinHash, MinHashLSH

_PERMUTATIONS = 128
_SEED = 1
_WORD = re.compile(r"[\w'.]*\w")


def near_groups(texts: Sequence[str], threshold: float) -> list[int]:
    """Put each text into a group of near copies.

    Texts are taken by falling frequency, then in alphabetical order; one joins the group whose first text is most like
    it, or founds a group. So the groups depend on the texts alone, not on their order.

    Args:
        texts: Any texts; case and punctuation do not count.
        threshold: The estimated Jaccard similarity of their word pairs from which two texts are near copies, above 0
            and up to 1.

    Returns:
        The number of each text's group.
    """
    plain = [" ".join(_WORD.findall(text.lower())) for text in texts]
    frequency = Counter(plain)
    distinct = sorted(frequency, key=lambda text: (-frequency[text], text))
    hashes = MinHash.generator([_pairs(text) for text in distinct], num_perm=_PERMUTATIONS, seed=_SEED)
    # Looked for well below the threshold, or the index would miss some that lie just above it.
    index = MinHashLSH(threshold=max(threshold - 0.2, 0.05), num_perm=_PERMUTATIONS)
    founders: list[MinHash] = []
    group_of: dict[str, int] = {}
    for text, hashed in zip(distinct, hashes, strict=True):
        alike = [(hashed.jaccard(founders[group]), -group) for group in index.query(hashed)]
        similarity, group = max(alike, default=(0.0, 0))
        if similarity >= threshold:
            group_of[text] = -group
        else:
            group_of[text] = len(founders)
            index.insert(len(founders), hashed)
            founders.append(hashed)
    return [group_of[text] for text in plain]


def _pairs(text: str) -> list[bytes]:
    words = ["", *text.split(" "), ""]
    return [f"{one} {other}".encode() for one, other in zip(words, words[1:], strict=False)]
