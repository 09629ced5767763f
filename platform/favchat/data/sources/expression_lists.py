"""What the benchmarks of dynamic facial expressions share: lists of clips with one emotion each, train and test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from upath import UPath

from favchat.config import ConfigError
from favchat.data.clips import Clip
from favchat.data.sources.listing import emotion_name, raise_faults, safe, some_present

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
    """A way in which a dataset writes its two lists.

    Attributes:
        path: The list below the dataset's folder; ``{split}`` stands for train or test.
        labels: What the list writes for an emotion -> the emotion's name in the dataset.
        separator: What stands between clip and label.
        header: Whether the first line names the columns.
    """

    path: str
    labels: Mapping[str, str]
    separator: str = " "
    header: bool = False


def numbered(names: str, first: int = 0) -> dict[str, str]:
    """Emotions separated by spaces -> {"0": the first, "1": the second, ...}."""
    return {str(number): name for number, name in enumerate(names.split(), start=first)}


def listed_clips(folder: UPath, layouts: list[ExpressionList], video: Callable[[str], UPath]) -> list[Clip]:
    """The clips of the first way of writing lists that the folder holds, train before test, in the lists' order.

    Args:
        folder: The dataset's folder.
        layouts: The ways, the official one first.
        video: A clip's name in the list -> the path where its video or frames are, or should be.

    Raises:
        ConfigError: A list is missing or has malformed lines, a clip is in both lists, or no video is there.
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
    clips: dict[str, Clip] = {}
    for split, path in paths.items():
        for clip in _read(path, split, layout, video):
            if clip.id in clips:
                raise ConfigError(f"{path} lists '{clip.id}' a second time; it is in {clips[clip.id].split} already")
            clips[clip.id] = clip
    return some_present(list(clips.values()), " and ".join(str(path) for path in paths.values()))


def _read(path: UPath, split: str, layout: ExpressionList, video: Callable[[str], UPath]) -> list[Clip]:
    clips = []
    for stem, known in read_labels(path, layout):
        ours = EMOTIONS[known]
        clips.append(
            Clip(
                id=safe(stem),
                video=str(video(stem)),
                split=split,
                emotion=None if ours is None else emotion_name(ours),
            )
        )
    return clips


def read_labels(path: UPath, layout: ExpressionList) -> list[tuple[str, str]]:
    """The lines of one list: a clip's name without ``.mp4``, and its emotion as the dataset calls it.

    Raises:
        ConfigError: The file is no UTF-8 text, or has malformed lines.
    """
    found, faults = [], []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (layout.header and number == 1):
            continue
        name, sign, label = line.strip().rpartition(layout.separator)
        known = layout.labels.get(label.strip().lower())
        if not sign or known is None:
            faults.append(
                f"line {number}: {line.strip()!r} is no clip, '{layout.separator}' and one of "
                f"{', '.join(layout.labels)}"
            )
            continue
        found.append((name.strip().removesuffix(".mp4"), known))
    raise_faults(str(path), faults)
    return found


def first_folder(folder: UPath, names: list[str], what: str) -> UPath:
    """The first of some folders that is there.

    Raises:
        ConfigError: None is.
    """
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise ConfigError(f"data.source.path: {folder} holds no {what}; expected one of the folders {', '.join(names)}")
