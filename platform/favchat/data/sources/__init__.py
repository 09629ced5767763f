"""The kinds of source by name. A new kind is one function from its settings to clips, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from favchat.config import DataConfig, SourceConfig
from favchat.data.clips import Clip
from favchat.data.sources.celebv_hq import celebv_hq_clips
from favchat.data.sources.celebv_text import celebv_text_clips
from favchat.data.sources.dfew import dfew_clips
from favchat.data.sources.ferv39k import ferv39k_clips
from favchat.data.sources.folder import folder_clips
from favchat.data.sources.hmdb51 import hmdb51_clips
from favchat.data.sources.mafw import mafw_clips
from favchat.data.sources.manifest import manifest_clips
from favchat.data.sources.youtube_faces import youtube_faces_clips
from favchat.data.splits import split_key, split_of

SOURCES: dict[str, Callable[[SourceConfig], list[Clip]]] = {
    "folder": folder_clips,
    "manifest": manifest_clips,
    "celebv_hq": celebv_hq_clips,
    "celebv_text": celebv_text_clips,
    "dfew": dfew_clips,
    "mafw": mafw_clips,
    "ferv39k": ferv39k_clips,
    "youtube_faces": youtube_faces_clips,
    "hmdb51": hmdb51_clips,
}
"""``data.source.kind`` -> the function that lists the clips, ordered and each id once."""


def list_clips(data: DataConfig, seed: int) -> list[Clip]:
    """The clips of ``data.source``, each with a split: the source's own, else that of ``data.splits``.

    Raises:
        ConfigError: The source cannot be listed.
    """
    return [
        clip if clip.split else replace(clip, split=split_of(split_key(clip), data.splits, seed))
        for clip in SOURCES[data.source.kind](data.source)
    ]
