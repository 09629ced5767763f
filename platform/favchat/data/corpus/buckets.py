"""Buckets of clips: parts of a corpus of about equal size that depend on nothing but the clips' ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def buckets_of(clips: Iterable[str], count: int) -> np.ndarray:
    """(N,) int32: the bucket of each clip, below `count`, by a hash of its id."""
    digests = b"".join(hashlib.blake2b(clip.encode(), digest_size=4).digest() for clip in clips)
    return (np.frombuffer(digests, "<u4") % count).astype(np.int32)
