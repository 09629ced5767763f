"""A folder of videos as a source: every video file below it is one clip, without labels."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

from favchat.config import ConfigError, SourceConfig
from favchat.data.clips import Clip

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"}
)
"""A file with one of these suffixes, in any case, counts as a video, whether or not it can be opened."""


def folder_clips(source: SourceConfig) -> list[Clip]:
    """The videos below ``source.path``, at any depth, or the one video file that it names; ordered by path.

    Hidden files and folders are passed over. A clip's id is its path below the folder without the suffix: ``/`` becomes
    ``__``, other characters that a file name should not hold become ``_``. Where two files would share an id, both get
    a short hash of their path as an ending.

    Raises:
        ConfigError: The path does not exist, is no video, or holds no video.
    """
    root = Path(os.path.abspath(source.path or ""))
    if root.is_file():
        if root.suffix.lower() not in VIDEO_SUFFIXES:
            raise ConfigError(f"data.source.path: {root} is no video; known suffixes are {_known()}")
        videos, base = [root], root.parent
    elif root.is_dir():
        videos, base = _videos_below(root), root
        if not videos:
            raise ConfigError(f"data.source.path: no video below {root}; files ending in {_known()} count as videos")
    else:
        raise ConfigError(f"data.source.path: {root} does not exist; give a folder of videos or one video file")
    for video in videos:
        try:
            str(video).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"data.source.path: the name of {str(video)!r} is no UTF-8; rename the file") from error
    names = [video.relative_to(base).as_posix() for video in videos]
    return [Clip(id=clip_id, video=str(video)) for clip_id, video in zip(_clip_ids(names), videos, strict=True)]


def _videos_below(root: Path) -> list[Path]:
    found: list[Path] = []
    walked = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in list(subfolders):  # a link back up would otherwise be walked for ever
            real = os.path.realpath(os.path.join(folder, name))
            if real in walked:
                subfolders.remove(name)
            walked.add(real)
        found += [
            Path(folder, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
        ]
    return sorted(found)


def _clip_ids(names: list[str]) -> list[str]:
    ids = [_safe(os.path.splitext(name)[0]) for name in names]
    taken = Counter(clip_id.casefold() for clip_id in ids)
    return [
        clip_id if taken[clip_id.casefold()] == 1 else f"{clip_id}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for clip_id, name in zip(ids, names, strict=True)
    ]


def _safe(stem: str) -> str:
    """``a folder/clip é`` -> ``a_folder__clip_é``: letters and digits of any script stay."""
    return re.sub(r"[^\w.\-]", "_", unicodedata.normalize("NFC", stem).replace("/", "__"))


def _known() -> str:
    return ", ".join(sorted(VIDEO_SUFFIXES))
