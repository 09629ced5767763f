"""Readers of single frames: decord for whole files and PyAV for all else, over the same FFmpeg; OpenCV for images.

All return the frames on display at given moments, scaled and upright, with their presentation times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from favchat.video.sample import ON_TIME, frames_on_display

INDEXED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
"""FFmpeg's names of the containers whose packets carry presentation times and whose index names true key frames."""
LONG_GAP = 10.0
"""Seconds from which on PyAV seeks even where no index says that a key frame lies between."""
SEEK_BACK = (0.0, 1.0, 4.0, 16.0, float("inf"))
"""Seconds to go back when a seek arrived too late: some indices count in decoding time, some only guess."""

IMAGE_FPS = 25.0
"""Frames a second of a folder of images, which does not say."""
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass
class FoundFrames:
    """What a reader found.

    Attributes:
        images: (H, W, 3) uint8 RGB each.
        times: Presentation times, seconds from the first frame of the video, increasing.
        damaged: Whether data was met that could not be decoded.
    """

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    damaged: bool = False


class DecordUnfitError(Exception):
    """decord cannot read this file, or would number its frames wrongly."""


def read_decord(path: Path, times: NDArray[np.float64], size: Size) -> FoundFrames:
    """The frames on display at `times` (N,), increasing, seconds; decord honours rotation itself.

    Raises:
        DecordUnfitError: Read this file with `read_pyav`.
    """
    import decord

    # Otherwise FFmpeg writes to stderr what the exception says again.
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(path), width=size[0], height=size[1], num_threads=1)
        begins = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
        if begins[0] < -ON_TIME or np.any(np.diff(begins) <= 0):
            raise DecordUnfitError("frames hidden by an edit list, or presentation times out of order")
        begins -= begins[0]
        index = frames_on_display(begins, times)
        images = reader.get_batch(index).asnumpy()
    except (decord.DECORDError, RuntimeError, AssertionError, IndexError) as error:
        raise DecordUnfitError(str(error)) from error
    if images.shape != (len(index), size[1], size[0], 3):
        raise DecordUnfitError(f"decord returned an array of shape {images.shape}")
    return FoundFrames(list(images), begins[index].tolist())


def read_pyav(path: Path, times: NDArray[np.float64], size: Size, rotation: int) -> FoundFrames:
    """The frames on display at `times` (N,), increasing, seconds, turned clockwise by `rotation` degrees.

    Damaged frames are left out. Between moments the reader seeks where a key frame lies between, and decodes on
    where none does.
    """
    found = FoundFrames()
    width, height = size[::-1] if rotation % 180 else size
    with av.open(str(path)) as container:
        cursor = Cursor(container)
        for time in times:
            frame = cursor.at(float(time))
            if frame is None or (found.times and cursor.begin(frame) <= found.times[-1]):
                continue
            image = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="BICUBIC")
            found.images.append(np.ascontiguousarray(np.rot90(image, -(rotation // 90))))
            found.times.append(cursor.begin(frame))
        found.damaged = cursor.damaged
    return found


def numbered_images(folder: Path) -> list[Path]:
    """The images of a folder whose names end in a number, such as ``0.117.jpg``, ordered by that number."""
    numbers = {
        path: int(found.group())
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and (found := re.search(r"\d+$", path.stem))
    }
    return sorted(numbers, key=lambda path: (numbers[path], path.name))


def read_image(path: Path) -> NDArray[np.uint8] | None:
    """An image as (H, W, 3) uint8 RGB, upright; None where the file is damaged."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def read_images(folder: Path, times: NDArray[np.float64], size: Size) -> FoundFrames:
    """The images of a folder on display at `times` (N,), increasing, seconds, each shown for 1 / `IMAGE_FPS` s.

    Damaged images are left out.
    """
    found = FoundFrames()
    paths = numbered_images(folder)
    begins = np.arange(len(paths), dtype=np.float64) / IMAGE_FPS
    for index in frames_on_display(begins, times):
        image = read_image(paths[index])
        if image is None:
            found.damaged = True
            continue
        if image.shape[1::-1] != size:
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        found.images.append(image)
        found.times.append(float(begins[index]))
    return found


def read_spans(
    path: str | Path, spans: Sequence[tuple[float, float]], side: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.uint8]]]:
    """Every frame shown in each of the `spans`, seconds from begin to end, ordered by begin; they may overlap.

    Damaged frames are left out. The pictures are not turned upright.

    Yields:
        For each span (N,) float64 presentation times, seconds from the first frame of the video, increasing, and
        (N, side, side, 3) uint8 RGB, squeezed to a square.
    """
    if not spans:
        return
    kept: dict[float, NDArray[np.uint8]] = {}
    with av.open(str(path)) as container:
        cursor = Cursor(container)
        for left, right in spans:
            kept = {time: image for time, image in kept.items() if time >= left}
            frame = cursor.at(left)
            while frame is not None and cursor.begin(frame) <= right:
                if cursor.begin(frame) not in kept:
                    image = frame.to_ndarray(format="rgb24", width=side, height=side, interpolation="AREA")
                    kept[cursor.begin(frame)] = np.asarray(image, dtype=np.uint8)
                frame = cursor.step()
            times = sorted(time for time in kept if time <= right)
            images = [kept[time] for time in times]
            yield np.asarray(times), np.stack(images) if images else np.zeros((0, side, side, 3), np.uint8)


class Cursor:
    """A place in a video that moves forward, by decoding on or by seeking, whichever is shorter.

    Attributes:
        first: The video's first frame, None where nothing decodes.
        rest: The frames after the last one taken.
        damaged: Whether data was met that could not be decoded.
    """

    def __init__(self, container: InputContainer) -> None:
        self.damaged = False
        self._container = container
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or not stream.time_base:
            raise ValueError(f"{container.name}: no video stream to read frames from")
        self._stream = stream
        self._time_base = float(stream.time_base)
        # The first frame counts as 0 s, also where audio begins before it.
        self._origin = stream.start_time or 0
        # One thread: many clips are read at once, each by its own process.
        self._stream.thread_type = "NONE"
        self._stream.codec_context.thread_count = 1
        self._indexed = container.format.name in INDEXED_CONTAINERS
        self._keys = self._read_keys()
        # Matroska's index is read by FFmpeg at the first seek; until then the last key frame known may be the first.
        self._index_read = False
        self.rest: Iterator[VideoFrame] = self._decode()
        self._shown: VideoFrame | None = None
        self._next = self.first = next(self.rest, None)

    def begin(self, frame: VideoFrame) -> float:
        """Seconds from the first frame of the video to this one."""
        return self._seconds(_timestamp(frame) or 0)

    def at(self, time: float) -> VideoFrame | None:
        """The last frame that begins at or before `time`, or else the first after it; None where nothing decodes."""
        if self._worth_seeking(time):
            self._seek(time)
        while self._next is not None and self.begin(self._next) <= time + ON_TIME:
            self._shown, self._next = self._next, next(self.rest, None)
        return self._shown or self._next

    def step(self) -> VideoFrame | None:
        """The frame after the one that is on display; None behind the last."""
        if self._next is not None:
            self._shown, self._next = self._next, next(self.rest, None)
            return self._shown
        return None

    def _seconds(self, timestamp: int) -> float:
        return (timestamp - self._origin) * self._time_base

    def _worth_seeking(self, time: float) -> bool:
        here = self.begin(self._shown) if self._shown is not None else 0.0
        if len(self._keys) and bool(np.any((self._keys > here + ON_TIME) & (self._keys <= time))):
            return True
        if len(self._keys) and self._index_read:
            return False
        return time - max([here, *self._keys[-1:].tolist()]) > LONG_GAP

    def _read_keys(self) -> NDArray[np.float64]:
        """Seconds of the key frames that the index names, (K,) increasing; none where it cannot be trusted."""
        keys = [entry.timestamp for entry in self._stream.index_entries if self._indexed and entry.is_keyframe]
        return np.sort(np.asarray([self._seconds(key) for key in keys], dtype=np.float64))

    def _seek(self, time: float) -> None:
        for back in SEEK_BACK:
            target = max(0.0, time - back)
            try:
                self._container.seek(round(target / self._time_base) + self._origin, stream=self._stream)
            except av.FFmpegError:
                self.damaged = True
                continue
            frames = self._decode()
            first = next(frames, None)
            if not self._index_read:
                self._keys, self._index_read = self._read_keys(), True
            if first is not None and (self.begin(first) <= time + ON_TIME or target == 0.0):
                self.rest, self._shown, self._next = frames, None, first
                return
        self._next = None

    def _decode(self) -> Iterator[VideoFrame]:
        """Intact frames from here on, in presentation order.

        After damage the decoder goes on with what it has, and a face smears into the next; so nothing is taken up to
        the next key frame.
        """
        intact = True
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                # The container itself breaks off here.
                self.damaged = True
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged, intact = True, False
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.damaged, intact = True, False
                elif intact or frame.key_frame:
                    intact = True
                    if _timestamp(frame) is not None:
                        yield frame


def _timestamp(frame: VideoFrame) -> int | None:
    """Presentation time in the stream's time base; decoding time in containers that store no other."""
    return frame.pts if frame.pts is not None else frame.dts
