"""What was made of the store's videos: clips, visual tokens, scores and previews, read and written.

A video's derived files lie in a folder VERSION of its own (:mod:`serve.store` lists them), which changes with the model
and the settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from favchat.config import Config
from favchat.face_scores.values import CALIBRATION
from favchat.video.clip import ProcessedClip
from favchat.video.decode import VideoInfo
from serve.errors import ApiError
from serve.view import View

FORMAT = "5"
"""Of the derived files; another one finds none of those that lie there."""


class DerivedFiles:
    """The derived files of all videos. Who reads or writes one holds its video meanwhile.

    Args:
        videos: The folder of the videos' folders.
        version: Names what was derived with one model and one set of settings.
    """

    def __init__(self, videos: Path, version: str) -> None:
        self.videos, self.version = videos, version

    def preview(self, key: str) -> Path:
        """Where the video as browsers can play it lies, once it exists."""
        return self.videos / key / self.version / "preview.mp4"

    def features(self, view: View) -> Path:
        """Where a view's visual tokens lie, once they exist."""
        name = f"features-{view.name}" if view.name else "features"
        return self.videos / view.key / self.version / f"{name}.safetensors"

    def hidden(self, view: View) -> Path:
        """Where a view's visual tokens with one frame hidden after the other lie, once they exist."""
        return self.features(view).with_name(f"hidden-{view.name or 0}.safetensors")

    def attributes(self, view: View) -> Path:
        """Where lies what was last told in numbers of a view, once it exists."""
        return self.videos / view.key / self.version / f"attributes-{view.name or 0}.json"

    def clip(self, key: str, face: int = 0) -> Path:
        """Where a video's decoded clip lies, once it exists: that of its main face, or of a further one."""
        return self.videos / key / self.version / (f"clip-{face}.npz" if face else "clip.npz")

    def write_clip(self, key: str, clip: ProcessedClip, *, face: int = 0, **told: Any) -> None:
        """Keep a decoded clip, and before it what is said of the video without opening it.

        Args:
            key: The video.
            clip: The clip of one face.
            face: Which one.
            **told: What goes to a JSON file of its own by its name, see :meth:`told`.
        """
        parts = {field.name: getattr(clip, field.name) for field in fields(clip) if field.name != "info"}
        arrays: dict[str, Any] = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
        rest = {name: part for name, part in parts.items() if name not in arrays}
        header = np.array(json.dumps({**rest, "info": asdict(clip.info)}))

        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, header=header, **arrays)

        for name, value in told.items():
            self.write(self._told(key, name), partial(Path.write_text, data=json.dumps(value)))
        self.write(self.clip(key, face), save)

    def read_clip(self, key: str, face: int = 0) -> ProcessedClip:
        """The decoded clip of a video's face.

        Raises:
            ApiError: The video left the store.
        """
        try:
            with np.load(self.clip(key, face)) as arrays:
                rest: dict[str, Any] = json.loads(str(arrays["header"]))
                rest["info"] = VideoInfo(**rest["info"])
                rest |= {name: tuple(value) for name, value in rest.items() if isinstance(value, list)}
                return ProcessedClip(**rest, **{name: arrays[name] for name in arrays.files if name != "header"})
        except FileNotFoundError:
            raise gone() from None

    def told(self, key: str, name: str) -> Any:
        """What :meth:`write_clip` was told of a video under a name.

        Raises:
            ApiError: The video left the store.
        """
        try:
            return json.loads(self._told(key, name).read_text())
        except FileNotFoundError:
            raise gone() from None

    def write(self, path: Path, save: Callable[[Path], Any]) -> None:
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

    def _told(self, key: str, name: str) -> Path:
        return self.clip(key).with_name(f"{name}.json")


def version_of(config: Config, model: str) -> str:
    """The VERSION of what a model derives with the settings of a configuration."""
    settings = [FORMAT, model]
    # The weights, how clips are read, and what the scores are divided by.
    weights = [file.name for file in sorted(Path(model).glob("*.safetensors"))]
    for name in (*weights, "processor_config.json", CALIBRATION):
        file = Path(model) / name
        if file.is_file():
            state = file.stat()
            settings.append(f"{state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(settings).encode()).hexdigest()[:16]


def gone() -> ApiError:
    """The video was removed from the store by other means than the store's own while a request was on its way."""
    return ApiError(503, "The video was dropped to make room for others. Try again.", code="video_dropped")


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    part = path.with_name(f"{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
