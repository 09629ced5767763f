"""Whether a stage's encoders are frozen, and fingerprints of shards: the conditions for caching features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from upath import UPath

ENCODERS = ("vision_model", "face_model")
"""The model's parts whose features are kept."""


def encoders_frozen(trainable: Iterable[str]) -> bool:
    """Whether a stage trains neither encoder."""
    return not any(name.startswith(encoder) for name in trainable for encoder in ENCODERS)


def shard_fingerprint(shard: UPath) -> str:
    """A hash that changes when a shard does: of its footer, size and modification time.

    Raises:
        OSError: The shard cannot be read.
    """
    size, written = shard.stat().st_size, shard.stat().st_mtime
    with shard.open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        footer = file.read()
    return hashlib.sha256(footer + f"{size} {written}".encode()).hexdigest()[:16]
