"""The kinds of source by name. A new kind is one function from its settings to clips, and one line here."""

from __future__ import annotations

from collections.abc import Callable

from favchat.config import SourceConfig
from favchat.data.celebv_hq import celebv_hq_clips
from favchat.data.clips import Clip
from favchat.data.folder import folder_clips

SOURCES: dict[str, Callable[[SourceConfig], list[Clip]]] = {
    "folder": folder_clips,
    "celebv_hq": celebv_hq_clips,
}
"""``data.source.kind`` -> the function that lists the clips, ordered and each id once."""
