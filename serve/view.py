"""Of a video, which face is looked at, and what of the model is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FACES = 16
"""Most faces of a video that can be asked about."""
Part = Literal["face_encoder", "level_injection"]
"""What can be left out: all that the face encoder saw; or its shallower levels, which enter the decoder's layers."""


@dataclass(frozen=True)
class View:
    """One way of looking at a video; answers about two views of one video share nothing that is cached.

    Attributes:
        key: SHA-256 of the video.
        face: Which face: 0 the main one, 1 the next.
        without: Parts of the model that are left out, in order of their names.
    """

    key: str
    face: int = 0
    without: tuple[Part, ...] = ()

    @property
    def name(self) -> str:
        """What the view's files are called after, unique among the views of one video; empty for the plain view."""
        return "" if self == View(self.key) else "-".join([str(self.face), *self.without])


def ordered(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts without repetition, in order of their names."""
    return tuple(sorted(set(parts)))
