"""Near-duplicate texts, by MinHash (Broder 1997) over word bigrams."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from datasketch import MinHash, MinHashLSH

_PERMUTATIONS = 128
_SEED = 1
_WORD = re.compile(r"[\w'.]*\w")


def near_groups(texts: Sequence[str], threshold: float) -> list[int]:
    """Cluster texts into groups of near-duplicates.

    Texts are processed by descending frequency, then alphabetically; each joins the group whose first text is most
    similar, or starts a new one. The groups therefore do not depend on the order of the texts.

    Args:
        texts: The texts; case and punctuation are ignored.
        threshold: Minimum estimated Jaccard similarity of the word bigrams of near-duplicates, above 0 and up to 1.

    Returns:
        The group index of each text.
    """
    plain = [" ".join(_WORD.findall(text.lower())) for text in texts]
    frequency = Counter(plain)
    distinct = sorted(frequency, key=lambda text: (-frequency[text], text))
    hashes = MinHash.generator([_pairs(text) for text in distinct], num_perm=_PERMUTATIONS, seed=_SEED)
    # The LSH index is approximate: query it below the threshold, so that it misses none just above.
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
