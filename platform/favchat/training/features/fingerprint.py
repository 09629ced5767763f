"""What the features of a shard depend on: which encoders learn, and which bytes the shard holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from upath import UPath

ENCODERS = ("vision_model", "face_model")
"""The model's parts whose features are kept."""


def encoders_frozen(trainable: Iterable[str]) -> bool:
    """Whether a stage leaves both encoders as they are."""
    return not any(name.startswith(encoder) for name in trainable for encoder in ENCODERS)


def shard_fingerprint(shard: UPath) -> str:
    """A hash that changes when a shard does; see the module.

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
