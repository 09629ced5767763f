"""The kinds of source by name. A new kind is one function from its settings to clips, and one line here."""

from __future__ import annotations

from collections.abc import Callable

from favchat.config import SourceConfig
from favchat.data.sources.celebv_hq import celebv_hq_clips
from favchat.data.sources.celebv_text import celebv_text_clips
from favchat.data.sources.dfew import dfew_clips
from favchat.data.sources.entries import Listing
from favchat.data.sources.ferv39k import ferv39k_clips
from favchat.data.sources.folder import folder_clips
from favchat.data.sources.hmdb51 import hmdb51_clips
from favchat.data.sources.mafw import mafw_clips
from favchat.data.sources.manifest import manifest_clips
from favchat.data.sources.youtube_faces import youtube_faces_clips

SOURCES: dict[str, Callable[[SourceConfig], Listing]] = {
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
"""``data.source.kind`` -> the function that lists the clips, ordered and each id once, see ``entries.Listing``."""


def list_clips(source: SourceConfig) -> Listing:
    """The clips of a source, without a split where it names none, and its entries that are no clips.

    Raises:
        ConfigError: The source cannot be listed.
    """
    return SOURCES[source.kind](source)
