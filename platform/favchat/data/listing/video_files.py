"""Shared by the sources: video file suffixes, safe ids, required folders, names of emotions."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.io import paths
from favchat.labels.attributes import EMOTION

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"}
)
"""A file with one of these suffixes, in any case, counts as a video, whether or not it can be opened."""
KNOWN_SUFFIXES = ", ".join(sorted(VIDEO_SUFFIXES))
"""The same for a message."""


def is_video(name: str) -> bool:
    """Whether a file name has a video suffix."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def clip_ids(names: Sequence[str]) -> list[str]:
    """One id per name: without its suffix, safe as a file name.

    ``/`` becomes ``__``, other unsafe characters become ``_``. Names whose ids would collide, ignoring case,
    all get a short hash of the name as a suffix.
    """
    ids = [safe(os.path.splitext(name)[0] if is_video(name) else name) for name in names]
    taken = Counter(clip_id.casefold() for clip_id in ids)
    return [
        clip_id if taken[clip_id.casefold()] == 1 else f"{clip_id}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for clip_id, name in zip(ids, names, strict=True)
    ]


def safe(stem: str) -> str:
    """``a folder/clip é`` -> ``a_folder__clip_é``: letters and digits of any script are kept."""
    return re.sub(r"[^\w.\-]", "_", unicodedata.normalize("NFC", stem).replace("/", "__"))


def dataset_folder(source: SourceConfig, expected: str) -> UPath:
    """``data.source.path``, local or remote, as a path.

    Args:
        source: The source's settings.
        expected: What the folder should hold, for the message.

    Raises:
        ConfigError: There is no such folder.
    """
    folder = paths.path_of(source.path or "")
    if not folder.is_dir():
        raise ConfigError(f"data.source.path: {folder} is no folder; kind={source.kind} expects there {expected}")
    return folder


def emotion_name(value: object) -> str:
    """The emotion of ``favchat.labels.attributes.EMOTION`` with a name, ignoring case.

    Raises:
        ValueError: There is no such emotion.
    """
    names = [emotion.name for emotion in EMOTION]
    name = value.lower() if isinstance(value, str) else value
    if name not in names:
        raise ValueError(f"the emotion {value!r} is none of {', '.join(names)}")
    return str(name)
