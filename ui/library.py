"""The clips that a reader of the page works with, and what was found in each."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ui.client import Turn

State = Literal["waiting", "uploading", "reading", "scoring", "ready", "no face", "failed", "cancelled"]
WORKING: tuple[State, ...] = ("waiting", "uploading", "reading", "scoring")
KEPT = 3600
"""Seconds after which the clips of a reader who does not look any more are forgotten."""
NAMED = re.compile(r"[\w-]{1,80}")
"""A clip's name on the page or on the server."""
MOST = 200
"""Clips of one reader."""


@dataclass(eq=False)
class Clip:
    """One clip.

    Attributes:
        path: The file on the page's machine; None: it is on the server alone.
        id: Names it on the page.
        file_id: Names it on the server, an upload or the SHA-256 of a video.
        play: The file that browsers play: itself, or the server's preview.
        error: Why it failed.
        held: Why it waits although it was begun.
        video: What ``GET /v1/videos/{id}`` told.
        scores: What ``POST /v1/videos/{id}/attributes`` told.
        talks: The conversation about each of its faces.
        asking: The question that is being answered.
        mattered: Seconds of the frames that the last answer rests on, where that was asked.
        face: Which of its faces is asked about: 0 the main one.
        read: What was told of each face so far, as ``video`` and ``scores`` have it of the chosen one.
    """

    name: str
    path: Path | None
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    file_id: str | None = None
    play: Path | None = None
    state: State = "waiting"
    error: str = ""
    held: str = ""
    video: dict[str, Any] | None = None
    scores: dict[str, Any] | None = None
    talks: dict[int, list[Turn]] = field(default_factory=dict)
    asking: str | None = None
    mattered: tuple[float, ...] = ()
    face: int = 0
    read: dict[int, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)

    @property
    def turns(self) -> list[Turn]:
        """The conversation about the chosen face."""
        return self.talks.get(self.face, [])

    @turns.setter
    def turns(self, turns: list[Turn]) -> None:
        self.talks[self.face] = turns

    def choose(self, face: int) -> bool:
        """Turn to another face.

        Returns:
            Whether it has yet to be read.
        """
        self.face, self.mattered = face, ()
        if face in self.read:
            self.video, self.scores = self.read[face]
            self.state = "ready"
            return False
        self.state = "waiting"
        return True

    @property
    def working(self) -> bool:
        """Whether it waits or is being read."""
        return self.state in WORKING

    @property
    def askable(self) -> bool:
        """Whether questions can be answered: no answer needs what is scored for the page."""
        return self.state in ("scoring", "ready")


class Library:
    """The clips of one reader, in the order in which they came."""

    def __init__(self) -> None:
        self.clips: dict[str, Clip] = {}
        self.chosen: str | None = None
        self.revision = 0
        """Goes up with each change."""
        self.order, self.untaught = "Family", False
        """How the profile is sorted, and whether it lists what was not taught."""
        self.looked = time.monotonic()
        self._lock = threading.Lock()

    def add(self, clips: Iterable[Clip]) -> list[Clip]:
        """Take clips in; the first one is opened where none is.

        Returns:
            Those for which there was room.
        """
        with self._lock:
            new = list(clips)[: MOST - len(self.clips)]
            self.clips |= {clip.id: clip for clip in new}
            if self.chosen is None and new:
                self.chosen = new[0].id
            self.revision += 1
        return new

    def remove(self, clip_id: str) -> Clip | None:
        """Take a clip out; the one beside it is opened in its place."""
        with self._lock:
            clip = self.clips.pop(clip_id, None)
            if self.chosen == clip_id:
                self.chosen = next(reversed(self.clips), None)
            self.revision += 1
        return clip

    def open(self, clip_id: str) -> Clip | None:
        """Choose the clip that the page is about."""
        with self._lock:
            if clip_id in self.clips:
                self.chosen = clip_id
                self.revision += 1
        return self.clips.get(clip_id)

    def changed(self) -> None:
        """Say that a clip has changed."""
        with self._lock:
            self.revision += 1

    @property
    def open_clip(self) -> Clip | None:
        """The clip that the page is about."""
        return self.clips.get(self.chosen or "")

    @property
    def working(self) -> bool:
        """Whether a clip waits or is being read."""
        return any(clip.working for clip in list(self.clips.values()))

    def remembered(self, token: str) -> dict[str, Any]:
        """What the browser keeps, so that a reload of the page, or a new page server, finds it again."""
        clips = [
            {
                "id": clip.id,
                "name": clip.name,
                "file_id": clip.file_id,
                "face": clip.face,
                "talks": {str(face): turns for face, turns in clip.talks.items()},
            }
            for clip in self.clips.values()
        ]
        return {"token": token, "chosen": self.chosen, "clips": clips}


def restored(remembered: dict[str, Any]) -> Iterator[Clip]:
    """The clips of what the browser kept, to be read anew from the server that may still have them.

    No file's path is taken from a browser, and names become parts of paths as plain words only: whoever wrote them
    could name any file of this machine.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: It kept something else.
    """
    for one in remembered.get("clips", []):
        talks = {
            int(face): [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns]
            for face, turns in one["talks"].items()
        }
        for name in (one["id"], one["file_id"] or "none"):
            if not NAMED.fullmatch(name):
                raise ValueError(f"no name of a clip: {name}")
        yield Clip(str(one["name"]), None, id=one["id"], file_id=one["file_id"], talks=talks, face=int(one["face"]))


class Libraries:
    """The libraries of all readers, each under a token that its browser keeps.

    Args:
        forget: Deletes an upload from the server.
    """

    def __init__(self, forget: Callable[[str | None], None]) -> None:
        self._forget = forget
        self._known: dict[str, Library] = {}
        self._sessions: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, session: str) -> tuple[str, Library]:
        """The token and the library of a browser's tab; new ones where it has none yet."""
        with self._lock:
            token = self._sessions.setdefault(session, secrets.token_urlsafe(16))
            library = self._known.setdefault(token, Library())
        library.looked = time.monotonic()
        return token, library

    def resume(self, session: str, token: str) -> bool:
        """Give a tab the library of a token that its browser kept, with what the tab has taken in meanwhile.

        Returns:
            Whether the token is still known.
        """
        with self._lock:
            library = self._known.get(token)
            if library is None:
                return False
            own = self._known.get(self._sessions.get(session, ""))
            self._sessions[session] = token
        if own is not None and own is not library and own.clips:
            library.add(own.clips.values())
            library.open(own.chosen or "")
        return True

    def tidy(self, kept: float = KEPT) -> None:
        """Forget those that nobody has looked at for so many seconds, and their uploads."""
        with self._lock:
            now = time.monotonic()
            old = [token for token, one in self._known.items() if now - one.looked >= kept]
            gone = [self._known.pop(token) for token in old]
            self._sessions = {session: token for session, token in self._sessions.items() if token in self._known}
        for library in gone:
            for clip in library.clips.values():
                clip.state = "cancelled"
                self._forget(clip.file_id)
