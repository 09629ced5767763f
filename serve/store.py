"""Uploads and what was made of them, in one folder that all processes of the application share.

    lock                                held by whoever adds or removes something
    incoming/UUID                       bytes that are not known to be a video yet
    files/FILE_ID.json                  an uploaded file: name, size, purpose, and the video it is
    videos/SHA256/source                the video's bytes
    videos/SHA256/use-UUID              held by a process that is using the video
    videos/SHA256/unwanted              nobody's any more: goes when its last user is done
    videos/SHA256/VERSION/clip.npz      frames, faces and track
    videos/SHA256/VERSION/facts.json    how many faces there are, where each is, and what share could be read
    videos/SHA256/VERSION/faces.json    all faces: how often they are to be seen, their boxes, a picture of each
    videos/SHA256/VERSION/features.safetensors      visual tokens, face levels, expert usage
    videos/SHA256/VERSION/clip-N.npz    frames, faces and track of the face that comes N-th after the main one, if it
                                        was asked for
    videos/SHA256/VERSION/features-VIEW.safetensors     visual tokens of a further face, or without parts of the model
    videos/SHA256/VERSION/hidden-VIEW.safetensors       visual tokens with one frame hidden after the other
    videos/SHA256/VERSION/attributes-VIEW.json  what was last told of a view in numbers
    videos/SHA256/VERSION/preview.mp4   the video as browsers can play it

A video is known by the SHA-256 of its bytes, however it came. VERSION changes with the model and the settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from favchat.config import Config, require
from serve.derived_files import DerivedFiles, version_of
from serve.errors import ApiError, busy
from serve.uploaded_files import StoredFile, UploadedFiles
from serve.video_leases import Leases

VIDEO_ID = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20
POLL = 0.005
"""Seconds between two looks at a lock that somebody else holds, for some milliseconds."""
NAMES = 8
"""File ids for each video that the store may hold: the same video may be uploaded again and again."""
STALE = 3600.0
"""Seconds after which incoming bytes are left over from a process that died."""


@dataclass(frozen=True)
class Incoming:
    """Bytes that came and are no video of the store yet.

    Attributes:
        path: Where they lie.
        key: Their SHA-256.
        size: How many.
    """

    path: Path
    key: str
    size: int


class VideoStore:
    """The folder. Many threads and processes may use it at once.

    A video that somebody holds (:meth:`keep`, :meth:`hold`) stays until it is given back (:meth:`give`), whoever
    deletes it meanwhile and however many come after it.

    Attributes:
        derived: What was made of the videos.

    Args:
        root: The folder; made if missing.
        version: Names what was derived with one model and one set of settings.
        max_videos: Videos kept at most, see :meth:`keep`.
        safe_seconds: For so long after it was last asked about, an uploaded file makes no room for others.
    """

    def __init__(self, root: str | Path, *, version: str, max_videos: int, safe_seconds: float = 3600.0) -> None:
        self.root = Path(root)
        self.max_videos, self.safe_seconds = max_videos, safe_seconds
        self.max_uploads = max_videos - max_videos // 4
        for name in ("files", "videos", "incoming"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.derived = DerivedFiles(self.root / "videos", version)
        self._uploads = UploadedFiles(self.root / "files")
        self._lock = FileLock(self.root / "lock", poll_interval=POLL)
        self._leases = Leases()

    @classmethod
    def of(cls, config: Config) -> VideoStore:
        """The store of a configuration; ``serve.model`` and ``serve.store`` must be set."""
        model, root = require(config, "serve.model", "serve.store")
        return cls(
            root,
            version=version_of(config, model),
            max_videos=config.serve.max_videos,
            safe_seconds=config.serve.keep_uploads,
        )

    def receive(self, source: BinaryIO) -> Incoming:
        """Bytes, until they are discarded; they take no place of the store before they are kept."""
        self._sweep()
        path = self.incoming(uuid.uuid4().hex)
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("wb") as target:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    size += target.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Incoming(path, digest.hexdigest(), size)

    def discard(self, incoming: Incoming) -> None:
        """Forget bytes that came, if they were not kept."""
        incoming.path.unlink(missing_ok=True)

    def keep(self, incoming: Incoming) -> str:
        """Make a video of the store of what came, and hold it: its SHA-256.

        Where the store is full, the video unused for longest goes: first those that are no uploaded file, then the
        uploaded files that nobody has asked about for `safe_seconds`. What is held never goes.

        Raises:
            ApiError: There is no room.
        """
        home = self.root / "videos" / incoming.key
        with self._lock:
            if not (home / "source").exists():
                self._make_room()
                home.mkdir(exist_ok=True)
                incoming.path.replace(home / "source")
            (home / "unwanted").unlink(missing_ok=True)
            self._hold(home)
        return incoming.key

    def add(self, source: BinaryIO) -> str:
        """Take a video in and return its SHA-256: :meth:`receive` and :meth:`keep` without holding it.

        Raises:
            ApiError: There is no room.
        """
        incoming = self.receive(source)
        try:
            self.give(self.keep(incoming))
        finally:
            self.discard(incoming)
        return incoming.key

    def hold(self, key: str) -> bool:
        """Hold a video, if the store has it."""
        home = self.root / "videos" / key
        with self._lock:
            there = (home / "source").exists()
            if there:
                self._hold(home)
        return there

    def give(self, key: str) -> None:
        """Give back a video that was held."""
        home = self.root / "videos" / key
        with self._lock:
            self._leases.give(home)
            gone = self._remove_unwanted(home)
        _erase(gone)

    def reject(self, key: str) -> None:
        """Note that nothing can be made of a video that is held: when given back it goes, unless it is a file."""
        with self._lock:
            (self.root / "videos" / key / "unwanted").touch()

    def add_file(
        self,
        key: str,
        filename: str,
        purpose: str,
        *,
        playable: bool = True,
        owner: str | None = None,
        most: int | None = None,
        lifetime: float | None = None,
    ) -> StoredFile:
        """Make an uploaded file of a video that is held.

        Args:
            key: SHA-256 of the video.
            filename: The client's name for it.
            purpose: What the client said it is for.
            playable: Whether browsers play it as it is.
            owner: Name of the key that it is uploaded with.
            most: Files that the owner may have; None: any number.
            lifetime: Seconds until it is deleted; None: it stays.

        Raises:
            ApiError: There are too many.
        """
        now = int(time.time())
        stored = StoredFile(
            id=f"file-{uuid.uuid4().hex}",
            filename=filename,
            bytes=self.source(key).stat().st_size,
            created_at=now,
            purpose=purpose,
            video=key,
            playable=playable,
            owner=owner,
            expires_at=None if lifetime is None else now + math.ceil(lifetime),
        )
        with self._lock:
            self._check_quota(key, owner, most)
            self._uploads.add(stored)
        return stored

    def files(self) -> list[StoredFile]:
        """All uploaded files, the newest first."""
        found = [stored for stored in self._uploads.all() if stored.is_there()]
        return sorted(found, key=lambda stored: (-stored.created_at, stored.id))

    def file(self, file_id: str, param: str | None = None) -> StoredFile:
        """One uploaded file.

        Raises:
            ApiError: There is none of that id.
        """
        return self._uploads.find(file_id, param)

    def delete_file(self, file_id: str) -> None:
        """Forget an uploaded file; its video goes with the last file that holds it, and its last user.

        Raises:
            ApiError: There is none of that id.
        """
        with self._lock:
            gone = self._forget(self.file(file_id))
        _erase(gone)

    def expire(self) -> None:
        """Delete the uploaded files whose time is over."""
        for stored in self._uploads.all():
            if not stored.is_there():
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    with self._lock:
                        gone = self._forget(stored)
                    _erase(gone)

    def video(self, video_id: str, param: str | None = None) -> str:
        """The SHA-256 of a video that is named by it or by a file's id, held.

        Raises:
            ApiError: The store does not hold it.
        """
        key = self.file(video_id, param).video if video_id.startswith("file-") else video_id
        if not VIDEO_ID.fullmatch(key) or not self.hold(key):
            raise ApiError(404, f"No such video: {video_id[:80]}. Send it again.", param, "video_not_found")
        return key

    def source(self, key: str) -> Path:
        """Where a video's bytes lie."""
        return self.root / "videos" / key / "source"

    def incoming(self, name: str) -> Path:
        """Where bytes that came lie until they are kept or discarded."""
        return self.root / "incoming" / name

    def _hold(self, home: Path) -> None:
        self._leases.take(home)
        os.utime(home)

    def _forget(self, stored: StoredFile) -> Path | None:
        """Take a file out of the list: where its video lies now, if nobody wants it any more."""
        home = self.root / "videos" / stored.video
        self._uploads.remove(stored)
        if home.exists():
            (home / "unwanted").touch()
        return self._remove_unwanted(home)

    def _remove_unwanted(self, home: Path) -> Path | None:
        """Take a folder out that nobody wants or uses: where it lies now, to be erased without the lock."""
        if not (home / "unwanted").exists() or self._leases.taken(home):
            return None
        if any(stored.video == home.name for stored in self.files()):
            (home / "unwanted").unlink()
            return None
        return self._take_out(home)

    def _take_out(self, home: Path) -> Path:
        """At once for all who look: no folder is ever seen half erased."""
        return home.rename(self.incoming(uuid.uuid4().hex))

    def _check_quota(self, key: str, owner: str | None, most: int | None) -> None:
        files = self.files()
        if most is not None and sum(stored.owner == owner for stored in files) >= most:
            raise _full(f"The key '{owner}' may have {most} uploaded files, and has that many.")
        if len({stored.video for stored in files} | {key}) > self.max_uploads:
            raise _full(f"The server keeps at most {self.max_uploads} uploaded videos, and holds that many.")
        if len(files) >= NAMES * self.max_videos:
            raise _full(f"The server keeps at most {NAMES * self.max_videos} uploaded files, and holds that many.")

    def _make_room(self) -> None:
        """See that there is a place for one more video."""
        homes = sorted((self.root / "videos").iterdir(), key=lambda home: home.stat().st_mtime)
        uploads: dict[str, list[StoredFile]] = {}
        for stored in self.files():
            uploads.setdefault(stored.video, []).append(stored)
        safe = time.time() - self.safe_seconds
        idle = [home for home in homes if home.name in uploads and home.stat().st_mtime < safe]
        for home in [*(home for home in homes if home.name not in uploads), *idle]:
            if len(homes) < self.max_videos:
                return
            if not self._leases.taken(home):
                for stored in uploads.get(home.name, []):
                    self._uploads.remove(stored)
                homes.remove(home)
                _erase(self._take_out(home))
        if len(homes) >= self.max_videos:
            if len(homes) > len(uploads):
                raise busy("Too many videos are in use. Try again in a moment.")
            raise _full(f"The server keeps at most {self.max_videos} videos, and holds that many uploaded ones.")

    def _sweep(self) -> None:
        """Remove what processes that died left behind."""
        for path in (self.root / "incoming").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - STALE:
                    _erase(path)


def _full(message: str) -> ApiError:
    return ApiError(400, f"{message} Delete one (DELETE /v1/files/FILE_ID).", code="storage_full")


def _erase(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
