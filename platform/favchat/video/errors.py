"""What went wrong with a video, in words for the person who owns it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from favchat.errors import UserError

Stage = Literal["open", "decode", "cut", "detect", "track"]


class VideoError(UserError):
    """A video that cannot become a clip.

    Attributes:
        path: The file, as it was asked for.
        stage: Where it failed: "open", "decode", "cut", "detect" or "track".
        reason: Why, in a sentence that a person understands, without the file's name.
    """

    def __init__(self, path: str | Path, stage: Stage, reason: str) -> None:
        # All three go to Exception.args, which is what pickle rebuilds an exception from (it crosses Ray processes).
        super().__init__(str(path), stage, reason)
        self.path = str(path)
        self.stage: Stage = stage
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
