"""Uploads and what was made of them, in one folder that all processes of the application share.

    files/FILE_ID.json                  an uploaded file: name, size, purpose, and the video it is
    videos/SHA256/source                the video's bytes
    videos/SHA256/VERSION/clip.npz      frames, faces and track
    videos/SHA256/VERSION/features.safetensors      visual tokens, face levels, expert usage

A video is known by the SHA-256 of its bytes, however it came. VERSION changes with the model and the settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

import numpy as np

from favchat.config import Config, require
from favchat.video.clip import ProcessedClip
from favchat.video.decode import VideoInfo
from serve.errors import ApiError

FILE_ID = re.compile(r"file-[0-9a-f]{32}")
VIDEO_ID = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file.

    Attributes:
        id: ``file-`` and 32 hexadecimal digits.
        filename: The client's name for it.
        bytes: Its size.
        created_at: Seconds since 1970.
        purpose: What the client said it is for.
        video: SHA-256 of its bytes.
    """

    id: str
    filename: str
    bytes: int
    created_at: int
    purpose: str
    video: str


class VideoStore:
    """The folder.

    Args:
        root: The folder; made if missing.
        version: Names what was derived with one model and one set of settings.
        max_videos: Videos kept at most, see :meth:`add`.
    """

    def __init__(self, root: str | Path, *, version: str, max_videos: int) -> None:
        self.root, self.version, self.max_videos = Path(root), version, max_videos
        for name in ("files", "videos"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @classmethod
    def of(cls, config: Config) -> VideoStore:
        """The store of a configuration; ``serve.model`` and ``serve.store`` must be set."""
        model, root = require(config, "serve.model", "serve.store")
        return cls(root, version=_version(config, model), max_videos=config.serve.max_videos)

    def add(self, source: BinaryIO) -> str:
        """Take a video in and return its SHA-256.

        Where the store is full, the videos that are no uploaded file and were unused for longest go.

        Raises:
            ApiError: Uploaded files alone fill the store.
        """
        part = self.root / f"part-{uuid.uuid4().hex}"
        digest = hashlib.sha256()
        try:
            with part.open("wb") as target:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
            key = digest.hexdigest()
            home = self.root / "videos" / key
            if not (home / "source").exists():
                self._make_room()
                home.mkdir(exist_ok=True)
                part.replace(home / "source")
            os.utime(home)
        finally:
            part.unlink(missing_ok=True)
        return key

    def add_file(self, source: BinaryIO, filename: str, purpose: str) -> StoredFile:
        """Take an uploaded file in.

        Raises:
            ApiError: Uploaded files alone fill the store.
        """
        key = self.add(source)
        size = self.source(key).stat().st_size
        stored = StoredFile(f"file-{uuid.uuid4().hex}", filename, size, int(time.time()), purpose, key)
        path = self._file_path(stored.id)
        with _written_whole(path) as part:
            part.write_text(json.dumps(asdict(stored)))
        return stored

    def files(self) -> list[StoredFile]:
        """All uploaded files, the newest first."""
        found = []
        for path in (self.root / "files").glob("file-*.json"):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                found.append(StoredFile(**json.loads(path.read_text())))
        return sorted(found, key=lambda stored: (-stored.created_at, stored.id))

    def file(self, file_id: str, param: str | None = None) -> StoredFile:
        """One uploaded file.

        Raises:
            ApiError: There is none of that id.
        """
        if FILE_ID.fullmatch(file_id):
            with contextlib.suppress(FileNotFoundError):
                return StoredFile(**json.loads(self._file_path(file_id).read_text()))
        raise ApiError(404, f"No such file: {file_id}. Upload it to /v1/files first.", param, "file_not_found")

    def delete_file(self, file_id: str) -> None:
        """Forget an uploaded file; its video goes with the last file that holds it.

        Raises:
            ApiError: There is none of that id.
        """
        stored = self.file(file_id)
        self._file_path(file_id).unlink(missing_ok=True)
        if all(other.video != stored.video for other in self.files()):
            shutil.rmtree(self.root / "videos" / stored.video, ignore_errors=True)

    def video(self, video_id: str) -> str:
        """The SHA-256 of a video that is named by it or by a file's id.

        Raises:
            ApiError: The store does not hold it.
        """
        key = self.file(video_id).video if video_id.startswith("file-") else video_id
        if not VIDEO_ID.fullmatch(key) or not self.source(key).exists():
            raise ApiError(404, f"No such video: {video_id}. Send it again.", code="video_not_found")
        self.touch(key)
        return key

    def touch(self, key: str) -> None:
        """Note that a video is in use."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.root / "videos" / key)

    def source(self, key: str) -> Path:
        """Where a video's bytes lie."""
        return self.root / "videos" / key / "source"

    def features(self, key: str) -> Path:
        """Where a video's visual tokens lie, once they exist."""
        return self.root / "videos" / key / self.version / "features.safetensors"

    def clip(self, key: str) -> Path:
        """Where a video's decoded clip lies, once it exists."""
        return self.root / "videos" / key / self.version / "clip.npz"

    def write_clip(self, key: str, clip: ProcessedClip) -> None:
        """Keep a decoded clip."""
        arrays = {field.name: getattr(clip, field.name) for field in fields(clip) if field.name != "info"}
        info = np.array(json.dumps(asdict(clip.info)))

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, info=info, **arrays)

        self.write(self.clip(key), save)

    def read_clip(self, key: str) -> ProcessedClip:
        """The decoded clip of a video.

        Raises:
            ApiError: The video left the store.
        """
        try:
            with np.load(self.clip(key)) as arrays:
                info = VideoInfo(**json.loads(str(arrays["info"])))
                return ProcessedClip(info=info, **{name: arrays[name] for name in arrays.files if name != "info"})
        except FileNotFoundError:
            raise gone() from None

    def write(self, path: Path, save: Callable[[Path], None]) -> None:
        """Let `save` write a derived file under another name, then move it to its place.

        Raises:
            ApiError: The video left the store.
        """
        try:
            path.parent.mkdir(exist_ok=True)
            with _written_whole(path) as part:
                save(part)
        except FileNotFoundError:
            raise gone() from None

    def _file_path(self, file_id: str) -> Path:
        return self.root / "files" / f"{file_id}.json"

    def _make_room(self) -> None:
        ages: dict[str, float] = {}
        for path in (self.root / "videos").iterdir():
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                ages[path.name] = path.stat().st_mtime
        uploaded = {stored.video for stored in self.files()}
        for key in sorted(ages, key=ages.__getitem__):
            if len(ages) < self.max_videos:
                return
            if key not in uploaded:
                shutil.rmtree(self.root / "videos" / key, ignore_errors=True)
                del ages[key]
        if len(ages) >= self.max_videos:
            raise ApiError(
                400,
                f"The server keeps at most {self.max_videos} uploaded videos, and holds that many. "
                "Delete one (DELETE /v1/files/FILE_ID).",
                code="storage_full",
            )


def gone() -> ApiError:
    """The video was dropped from the store while a request about it was on its way."""
    return ApiError(503, "The video was dropped to make room for others. Try again.", code="video_dropped")


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    part = path.with_name(f"{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _version(config: Config, model: str) -> str:
    settings = [model]
    for name in ("model.safetensors", "processor_config.json"):  # the weights, and how clips are read
        file = Path(model) / name
        if file.is_file():
            state = file.stat()
            settings.append(f"{state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(settings).encode()).hexdigest()[:16]
