"""MAFW as a source (Liu et al., ACM MM 2022): 9,172 single-labelled clips in five folds, eleven emotions.

Anxiety, helplessness and disappointment have no counterpart among ``favchat.labels.attributes.EMOTION``: those clips
come with an unknown emotion.
"""

from __future__ import annotations

from favchat.config import SourceConfig
from favchat.data.listing.entries import Listing
from favchat.data.listing.expression_lists import ExpressionList, first_folder, listed_clips, numbered
from favchat.data.listing.video_files import dataset_folder

_EMOTIONS = "anger disgust fear happiness neutral sadness surprise contempt anxiety helplessness disappointment"


def mafw_clips(source: SourceConfig) -> Listing:
    """The clips of fold ``source.fold``, with their emotion and split; ids are five digits.

    Raises:
        ConfigError: A folder, a list or all videos are missing, or no line of the lists can be used.
    """
    folder = dataset_folder(source, "'Train & Test Set/' and data/clips/")
    media = first_folder(folder, ["data/clips", "data/frames"], "clips")
    suffix = ".mp4" if media.name == "clips" else ""
    return listed_clips(folder, mafw_lists(source.fold), lambda name: media / f"{name}{suffix}")


def mafw_lists(fold: int) -> list[ExpressionList]:
    """The known formats of a fold's lists, the official one first."""
    return [
        ExpressionList(
            f"Train & Test Set/single/no_caption/set_{fold}/{{split}}.txt",
            {name: name for name in _EMOTIONS.split()},
        ),
        ExpressionList(f"mafw_single_split0{fold}_{{split}}.csv", numbered(_EMOTIONS)),
    ]


SOURCE = mafw_clips
