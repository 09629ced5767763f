"""Splits as a pure function of the person, so that adding clips changes no clip's split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from favchat.config.data import check_fractions
from favchat.data.corpus.clip import Clip


def draw_splits(clips: Iterable[Clip], fractions: Mapping[str, float], seed: int) -> list[Clip]:
    """Assign a split to every clip without one, see ``split_of``.

    Raises:
        ValueError: The fractions do not sum to 1, or one is negative.
    """
    return [clip if clip.split else replace(clip, split=split_of(split_key(clip), fractions, seed)) for clip in clips]


def split_key(clip: Clip) -> str:
    """The key that a clip's split is hashed from: its identity, or if unknown its id."""
    return key_of(clip.id, clip.identity)


def key_of(clip_id: str, identity: str | None) -> str:
    """As `split_key`."""
    return f"clip/{clip_id}" if identity is None else f"identity/{identity}"


def split_of(key: str, fractions: Mapping[str, float], seed: int) -> str:
    """The split of all clips with a key, drawn with the given probabilities.

    The key's SHA-256 hash is mapped to [0, 1), which is divided among the splits, ordered by name.

    Args:
        key: Clips with the same key get the same split, see ``split_key``.
        fractions: Split -> its fraction; not negative, with sum 1.
        seed: Another seed gives another, independent draw.

    Raises:
        ValueError: The fractions do not sum to 1, or one is negative.
    """
    check_fractions(fractions)
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    place = int.from_bytes(digest[:6], "big") / 2**48  # 48 bits: exact as a float, and below 1
    names = sorted(name for name, share in fractions.items() if share > 0)
    reached = 0.0
    for name in names:
        reached += fractions[name]
        if place < reached:
            return name
    return names[-1]  # by rounding the fractions may sum to slightly less than 1
