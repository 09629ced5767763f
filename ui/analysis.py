"""Reading clips one after the other: each is uploaded, its face found, its scores told."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from pathlib import Path
from typing import Any

from openai import APIError

from ui.client import GONE, ApiClient, code_of, passes
from ui.library import Clip, Libraries, Library

logger = logging.getLogger(__name__)
WORKERS = 2
"""Clips that are read at once: the server decodes one while it encodes another."""
AGAIN = 1.0
"""Seconds until a clip is tried again that the server had no room for."""
TIDY = 60.0
"""Seconds between two looks for clips that nobody works with any more."""
SHORT, LONGEST_FINE = 1.0, 16.0
"""Seconds of a window, and of the longest video that is told in windows so short; of longer ones the server chooses."""


class Cancelled(Exception):
    """The reader does not want the clip read any more."""


class Analyser:
    """A queue of clips before the server.

    Args:
        api: The server.
        libraries: Those whose clips are read.
        previews: Folder for what browsers play in place of files that they do not.
    """

    def __init__(self, api: ApiClient, libraries: Libraries, previews: Path) -> None:
        self._api, self._libraries, self._previews = api, libraries, previews
        self._queue: queue.PriorityQueue[tuple[int, int, Library, Clip]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._ending = threading.Event()
        for work in [self._work] * WORKERS + [self._tidy]:
            threading.Thread(target=work, daemon=True).start()

    def add(self, library: Library, clip: Clip, *, first: bool = False) -> None:
        """Put a clip in the queue, or before all others; one that stands there already may be put again."""
        self._queue.put((0 if first else 1, next(self._numbers), library, clip))

    def cancel(self, library: Library, clip: Clip) -> None:
        """Read a clip no further."""
        if clip.working:
            clip.state = "cancelled"
            library.changed()

    def retry(self, library: Library, clip: Clip) -> None:
        """Read a clip that failed or was cancelled."""
        if clip.state in ("failed", "cancelled", "no face"):
            clip.state, clip.error = "waiting", ""
            library.changed()
            self.add(library, clip)

    def remove(self, library: Library, clip: Clip) -> None:
        """Take a clip off the page and off the server."""
        clip.state = "cancelled"
        library.remove(clip.id)
        self._forget_later(clip)

    def end(self) -> None:
        """Delete all uploads; nothing more is read."""
        self._ending.set()
        self._libraries.tidy(kept=0)

    def _forget_later(self, clip: Clip) -> None:
        threading.Thread(target=self._api.forget, args=(clip.file_id,), daemon=True).start()

    def _tidy(self) -> None:
        while not self._ending.wait(TIDY):
            self._libraries.tidy()

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                _, _, library, clip = self._queue.get(timeout=1.0)
            except queue.Empty:
                continue
            if clip.state != "waiting":
                continue
            clip.state = "uploading"
            try:
                self._read(library, clip)
            except Cancelled:
                pass
            except APIError as error:
                self._failed(library, clip, error)
            except OSError as error:
                logger.warning("%s: %s", clip.name, error)
                self._set(library, clip, "failed", "The file is no longer on this machine. Add it again.")
            except Exception:  # a clip must not end the thread that reads all others
                logger.exception("%s cannot be read", clip.name)
                self._set(library, clip, "failed", "The page cannot read what the server said of this clip.")

    def _read(self, library: Library, clip: Clip) -> None:
        if clip.file_id is None:
            if clip.path is None:
                raise FileNotFoundError(clip.name)
            self._step(library, clip, "uploading")
            file_id, playable = self._api.upload(clip.path)
            clip.file_id = file_id
            clip.play = clip.path if playable else None
        if clip.play is None:
            self._step(library, clip, "reading")
            preview = self._previews / f"{clip.id}.mp4"
            preview.write_bytes(self._api.preview(clip.file_id))
            clip.play = preview
        self._step(library, clip, "reading")
        face = clip.face
        video = self._api.video(clip.file_id, face)
        if clip.video is None:
            clip.video = video
        self._step(library, clip, "scoring")
        fine = video["duration"] <= LONGEST_FINE
        windows: dict[str, Any] = {"window_s": SHORT, "stride_s": SHORT / 2} if fine else {}
        scores = self._api.scores(clip.file_id, face=face or None, **windows)
        clip.read[face] = video, scores
        if clip.face == face:
            clip.video, clip.scores = video, scores
            self._step(library, clip, "ready")

    def _step(self, library: Library, clip: Clip, state: Any) -> None:
        if clip.state == "cancelled":
            raise Cancelled
        self._set(library, clip, state)

    def _set(self, library: Library, clip: Clip, state: Any, error: str = "", held: str = "") -> None:
        clip.state, clip.error, clip.held = state, error, held
        library.changed()

    def _failed(self, library: Library, clip: Clip, error: APIError) -> None:
        if clip.state == "cancelled":
            return
        code, said = code_of(error), self._api.explain(error)
        if code == "no_face":
            clip.scores, clip.video = None, None
            self._set(library, clip, "no face", said)
        elif code == "storage_full" and self._make_room(library, clip):
            self._set(library, clip, "waiting")
            self.add(library, clip)
        elif code in GONE and clip.path is not None:
            # The server began anew, or needed the place: the file is sent again.
            clip.file_id = None
            self._set(library, clip, "waiting")
            self.add(library, clip)
        elif passes(error):
            self._set(library, clip, "waiting", held=said)
            time.sleep(AGAIN)
            self.add(library, clip)
        else:
            self._set(library, clip, "failed", said)

    def _make_room(self, library: Library, wanted: Clip) -> bool:
        """Delete the upload of a clip that was read long ago; it is sent again when it is asked about."""
        for clip in list(library.clips.values()):
            if clip not in (wanted, library.open_clip) and not clip.working and clip.file_id and clip.path:
                self._api.forget(clip.file_id)
                clip.file_id = None
                return True
        return False
