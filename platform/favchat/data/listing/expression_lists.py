"""Shared by the benchmarks of dynamic facial expressions: train and test lists of clips with one emotion each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.clip import Clip
from favchat.data.listing.annotation_files import decoded
from favchat.data.listing.entries import Entries, Entry, Listing
from favchat.data.listing.video_files import emotion_name, safe

_LOG = logging.getLogger(__name__)

SPLITS = ("train", "test")

EMOTIONS = {
    **{name: name for name in ("neutral", "anger", "contempt", "disgust", "happy", "fear", "sadness", "surprise")},
    "angry": "anger",
    "happiness": "happy",
    "sad": "sadness",
    "anxiety": None,
    "helplessness": None,
    "disappointment": None,
}
"""The datasets' names -> ours; None where we have no counterpart."""


@dataclass(frozen=True, slots=True)
class ExpressionList:
    """A format of a dataset's two lists.

    Attributes:
        path: Path of the list in the dataset's folder; ``{split}`` is train or test.
        labels: Label in the list -> the emotion's name in the dataset.
        separator: Separates clip and label.
        header: Whether the first line is a header.
    """

    path: str
    labels: Mapping[str, str]
    separator: str = " "
    header: bool = False


def numbered(names: str, first: int = 0) -> dict[str, str]:
    """Emotions separated by spaces -> {"0": the first, "1": the second, ...}."""
    return {str(number): name for number, name in enumerate(names.split(), start=first)}


def listed_clips(
    folder: UPath,
    layouts: list[ExpressionList],
    video: Callable[[str], UPath],
    *,
    name: Callable[[str], str] = str,
) -> Listing:
    """The clips of the first list format that the folder has, train before test, in the lists' order.

    Args:
        folder: The dataset's folder.
        layouts: The formats, the official one first.
        video: A clip's name in the list -> the expected path of its video or frames; raises ValueError if it is
            ambiguous.
        name: A clip's name in the list -> the name that its id is derived from.

    Raises:
        ConfigError: A list is missing or not text, no line can be used, or all videos are missing.
    """
    for layout in layouts:
        paths = {split: folder / layout.path.format(split=split) for split in SPLITS}
        there = [split for split in SPLITS if paths[split].is_file()]
        if len(there) == len(SPLITS):
            break
        if there:
            (lost,) = set(SPLITS) - set(there)
            raise ConfigError(f"data.source.path: {paths[there[0]]} is there, but not {paths[lost]}")
    else:
        expected = " or ".join(str(folder / layout.path) for layout in layouts)
        raise ConfigError(f"data.source.path: no lists in {folder}; expected {expected}, for each of train and test")
    found = Entries(" and ".join(str(path) for path in paths.values()))
    for split, path in paths.items():
        for entry, stem, label in _lines(path, layout):
            try:
                if label is None:
                    raise ValueError(stem)
                ours = EMOTIONS[label]
                found.add(
                    entry,
                    Clip(
                        id=safe(name(_checked(stem))),
                        video=str(video(stem)),
                        split=split,
                        emotion=None if ours is None else emotion_name(ours),
                    ),
                )
            except ValueError as error:
                found.reject(entry, error, name="" if label is None else name(stem))
    return found.listing()


def read_labels(path: UPath, layout: ExpressionList) -> list[tuple[str, str]]:
    """Read one list: each clip's name without ``.mp4``, and its emotion in the dataset's terms.

    Malformed lines are skipped and counted in the log.

    Raises:
        ConfigError: The file is not UTF-8, or has only malformed lines.
    """
    lines = list(_lines(path, layout))
    found = [(stem, label) for _, stem, label in lines if label is not None]
    bad = [f"{entry.where}: {reason}" for entry, reason, label in lines if label is None]
    if bad and not found:
        raise ConfigError(f"{path}: none of the {len(bad)} lines can be used; {bad[0]}")
    if bad:
        _LOG.warning("%s: %d lines cannot be used; the first: %s", path, len(bad), bad[0])
    return found


def _lines(path: UPath, layout: ExpressionList) -> Iterator[tuple[Entry, str, str | None]]:
    """Yield each line as entry, clip name and emotion; for a malformed line the error instead of the name, and None."""
    for number, line in enumerate(decoded(path.read_bytes(), str(path)).splitlines(), start=1):
        if not line.strip():
            continue
        stem, sign, label = line.strip().rpartition(layout.separator)
        known = layout.labels.get(label.strip().lower())
        if layout.header and number == 1 and known is None:
            continue
        entry = Entry(f"{path.name} line {number}")
        if sign and known is not None:
            yield entry, stem.strip().removesuffix(".mp4"), known
        else:
            names = ", ".join(layout.labels)
            yield entry, f"{line.strip()!r} is no clip, '{layout.separator}' and one of {names}", None


def _checked(name: str) -> str:
    """Check that a clip's name does not point outside the dataset's folder."""
    if not name or name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise ValueError(f"{name!r} is no name of a clip")
    return name


def first_folder(folder: UPath, names: list[str], what: str) -> UPath:
    """The first existing one of some folders.

    Raises:
        ConfigError: None exists.
    """
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise ConfigError(f"data.source.path: {folder} holds no {what}; expected one of the folders {', '.join(names)}")
