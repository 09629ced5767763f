"""DFEW as a source (Jiang et al., ACM MM 2020): 11,697 single-labelled clips of films in five folds, seven emotions."""

from __future__ import annotations

from dataclasses import replace

from upath import UPath

from favchat.config import SourceConfig
from favchat.data.clips import Clip
from favchat.data.sources.expression_lists import ExpressionList, first_folder, listed_clips, numbered
from favchat.data.sources.listing import dataset_folder, is_video

_EMOTIONS = "happy sad neutral angry surprise disgust fear"
_CLIPS = ["Clip/jpg_256", "Clip/clip_224x224", "Clip/clip_224x224_avi", "Clip/original", "Clip/clip_224x224_16f"]
"""The sixteen chosen frames come last: their times are lost."""


def dfew_clips(source: SourceConfig) -> list[Clip]:
    """The clips of fold ``source.fold``, with their emotion and split; ids are five digits.

    Raises:
        ConfigError: A folder, a list or all clips are missing, or a list has malformed lines.
    """
    folder = dataset_folder(source, "EmoLabel_DataSplit/ and Clip/")
    media = first_folder(folder, _CLIPS, "clips")
    files = _by_number(media)
    lists = dfew_lists(source.fold)
    clips = listed_clips(folder, lists, lambda name: files.get(name.lstrip("0"), media / name.zfill(5)))
    return [replace(clip, id=clip.id.zfill(5)) for clip in clips]


def dfew_lists(fold: int) -> list[ExpressionList]:
    """The ways in which a fold's lists are written, the official one first."""
    return [
        ExpressionList(
            f"EmoLabel_DataSplit/{{split}}(single-labeled)/set_{fold}.csv",
            numbered(_EMOTIONS, first=1),
            separator=",",
            header=True,
        ),
        ExpressionList(f"dfew_org_split0{fold}_{{split}}.csv", numbered(_EMOTIONS)),
    ]


def _by_number(media: UPath) -> dict[str, UPath]:
    """A clip's number without leading zeros -> its folder of frames or its video, also below ``part_<n>/``."""
    parts = [media, *sorted(path for path in media.glob("part_*") if path.is_dir())]
    entries = [entry for part in parts for entry in sorted(part.iterdir())]
    return {
        entry.stem.lstrip("0"): entry
        for entry in entries
        if entry.stem.isdigit() and (is_video(entry.name) or entry.is_dir())
    }
