"""FERV39k as a source (Wang et al., CVPR 2022): 38,935 clips of 22 kinds of scene, one split, seven emotions."""

from __future__ import annotations

from favchat.config import SourceConfig
from favchat.data.listing.entries import Listing
from favchat.data.listing.expression_lists import ExpressionList, first_folder, listed_clips, numbered
from favchat.data.listing.video_files import dataset_folder

_EMOTIONS = "happy sad neutral angry surprise disgust fear"


def ferv39k_clips(source: SourceConfig) -> Listing:
    """The clips of all scenes, with their emotion and split; ids such as ``Action__Happy__0267``.

    Raises:
        ConfigError: A folder, a list or all videos are missing, or no line of the lists can be used.
    """
    folder = dataset_folder(source, "4_setups/ and 2_ClipsforFaceCrop/")
    media = first_folder(folder, ["2_ClipsforFaceCrop"], "clips")
    return listed_clips(folder, ferv39k_lists(), lambda name: media / name)


def ferv39k_lists() -> list[ExpressionList]:
    """The known formats of the lists, the official one first."""
    return [
        ExpressionList("4_setups/All_scenes/{split}_All.csv", {name: name for name in _EMOTIONS.split()}),
        ExpressionList("ferv39k_all_scenes_{split}.csv", numbered(_EMOTIONS)),
    ]


SOURCE = ferv39k_clips
