"""What the sources share: safe ids, folders that must be there, faults and absent videos that are named."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from upath import UPath

from favchat.attributes import EMOTION
from favchat.config import ConfigError, SourceConfig
from favchat.data import addresses
from favchat.data.clips import Clip

_LOG = logging.getLogger(__name__)
_SHOWN = 5

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"}
)
"""A file with one of these suffixes, in any case, counts as a video, whether or not it can be opened."""
KNOWN_SUFFIXES = ", ".join(sorted(VIDEO_SUFFIXES))
"""The same for a message."""


def is_video(name: str) -> bool:
    """Whether a file's name ends as that of a video."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def clip_ids(names: Sequence[str]) -> list[str]:
    """One id a name: without its suffix, safe as a file name.

    ``/`` becomes ``__``, other characters that a file name should not hold become ``_``. Names that would share an id,
    compared without case, all get a short hash of the name as an ending.
    """
    ids = [safe(os.path.splitext(name)[0] if is_video(name) else name) for name in names]
    taken = Counter(clip_id.casefold() for clip_id in ids)
    return [
        clip_id if taken[clip_id.casefold()] == 1 else f"{clip_id}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for clip_id, name in zip(ids, names, strict=True)
    ]


def safe(stem: str) -> str:
    """``a folder/clip é`` -> ``a_folder__clip_é``: letters and digits of any script stay."""
    return re.sub(r"[^\w.\-]", "_", unicodedata.normalize("NFC", stem).replace("/", "__"))


def dataset_folder(source: SourceConfig, expected: str) -> UPath:
    """``data.source.path``, at any address, as a path.

    Args:
        source: The source's settings.
        expected: What should lie in the folder, for the message.

    Raises:
        ConfigError: There is no such folder.
    """
    folder = addresses.path_of(source.path or "")
    if not folder.is_dir():
        raise ConfigError(f"data.source.path: {folder} is no folder; kind={source.kind} expects there {expected}")
    return folder


def raise_faults(origin: str, faults: Sequence[str]) -> None:
    """Raise the faults of a list file, if there are any; the first few are shown.

    Raises:
        ConfigError: There is a fault.
    """
    if faults:
        shown = [f"  {fault}" for fault in faults[:_SHOWN]]
        if len(faults) > len(shown):
            shown.append(f"  and {len(faults) - len(shown)} more")
        raise ConfigError("\n".join([f"{origin}: {len(faults)} malformed entries", *shown]))


def some_present(clips: list[Clip], origin: str) -> list[Clip]:
    """The clips as they are; listed videos that are absent are named in the log and become rejects later.

    Args:
        clips: The clips that a list names.
        origin: The list, for the message.

    Raises:
        ConfigError: The list is empty, or all videos are absent.
    """
    if not clips:
        raise ConfigError(f"{origin} lists no clip")
    gone = addresses.absent(dict.fromkeys(clip.video for clip in clips))
    lost = set(gone)
    if all(clip.video in lost for clip in clips):
        raise ConfigError(
            f"data.source.path: none of the {len(clips)} videos that {origin} lists is there; the first is expected at "
            f"{clips[0].video}"
        )
    if gone:
        more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
        _LOG.warning(
            "%d of the videos that %s lists are absent and will be rejected: %s%s",
            len(gone),
            origin,
            ", ".join(gone[:_SHOWN]),
            more,
        )
    return clips


def emotion_name(value: object) -> str:
    """The emotion of ``favchat.attributes.EMOTION`` that a name in any case stands for.

    Raises:
        ValueError: There is none of that name.
    """
    names = [emotion.name for emotion in EMOTION]
    name = value.lower() if isinstance(value, str) else value
    if name not in names:
        raise ValueError(f"the emotion {value!r} is none of {', '.join(names)}")
    return str(name)
