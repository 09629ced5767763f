"""Errors of videos, with messages for their owner."""

from __future__ import annotations

from typing import Literal

from favchat.errors import UserError

Stage = Literal["open", "decode", "cut", "detect", "track"]


class VideoError(UserError):
    """A video that cannot be processed into a clip.

    Attributes:
        path: The file, as given, or the name of frames in memory.
        stage: Where it failed: "open", "decode", "cut", "detect" or "track".
        reason: Why, in a sentence for users, without the file's name.
    """

    def __init__(self, path: object, stage: Stage, reason: str) -> None:
        # All three in Exception.args, from which pickle rebuilds the exception when it crosses Ray processes.
        super().__init__(str(path), stage, reason)
        self.path = str(path)
        self.stage: Stage = stage
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
