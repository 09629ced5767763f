"""DFEW as a source (Jiang et al., ACM MM 2020): 11,697 single-labelled clips of films in five folds, seven emotions."""

from __future__ import annotations

from collections import defaultdict

from upath import UPath

from favchat.config import SourceConfig
from favchat.data.listing.entries import Listing
from favchat.data.listing.expression_lists import ExpressionList, first_folder, listed_clips, numbered
from favchat.data.listing.video_files import dataset_folder, is_video

_EMOTIONS = "happy sad neutral angry surprise disgust fear"
_CLIPS = ["Clip/jpg_256", "Clip/clip_224x224", "Clip/clip_224x224_avi", "Clip/original", "Clip/clip_224x224_16f"]
"""The sixteen chosen frames come last: their times are lost."""


def dfew_clips(source: SourceConfig) -> Listing:
    """The clips of fold ``source.fold``, with their emotion and split; ids are five digits.

    Raises:
        ConfigError: A folder, a list or all videos are missing, or no line of the lists can be used.
    """
    folder = dataset_folder(source, "EmoLabel_DataSplit/ and Clip/")
    media = first_folder(folder, _CLIPS, "clips")
    files = _by_number(media)

    def video(name: str) -> UPath:
        there = files.get(name.lstrip("0"), [media / name.zfill(5)])
        if len(there) > 1:
            raise ValueError(f"there are several clips of that number: {', '.join(map(str, there))}")
        return there[0]

    return listed_clips(folder, dfew_lists(source.fold), video, name=lambda name: name.zfill(5))


def dfew_lists(fold: int) -> list[ExpressionList]:
    """The known formats of a fold's lists, the official one first."""
    return [
        ExpressionList(
            f"EmoLabel_DataSplit/{{split}}(single-labeled)/set_{fold}.csv",
            numbered(_EMOTIONS, first=1),
            separator=",",
            header=True,
        ),
        ExpressionList(f"dfew_org_split0{fold}_{{split}}.csv", numbered(_EMOTIONS)),
    ]


def _by_number(media: UPath) -> dict[str, list[UPath]]:
    """Clip number without leading zeros -> its folder of frames or its video, also below ``part_<n>/``."""
    parts = [media, *sorted(path for path in media.glob("part_*") if path.is_dir())]
    found: defaultdict[str, list[UPath]] = defaultdict(list)
    for entry in (entry for part in parts for entry in sorted(part.iterdir())):
        if entry.stem.isdigit() and (is_video(entry.name) or entry.is_dir()):
            found[entry.stem.lstrip("0")].append(entry)
    return found


SOURCE = dfew_clips
