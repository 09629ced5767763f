"""The kinds of source, one module each, named as ``data.source.kind``: its ``SOURCE`` lists the clips."""

from __future__ import annotations

from favchat.config import SourceConfig
from favchat.data.listing.entries import Listing
from favchat.plugins import SOURCES


def list_clips(source: SourceConfig) -> Listing:
    """The clips of a source, with an empty split where it names none, and its bad entries.

    Raises:
        ConfigError: The source cannot be listed.
    """
    return SOURCES[source.kind](source)
