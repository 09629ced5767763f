"""Frame readers: decord for whole files and PyAV for everything else, over the same FFmpeg; OpenCV for images.

All return the frames on display at given times, scaled, upright and converted to BT.709, with their presentation times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.colour import to_rgb
from favchat.video.frame_cursor import SLACK, Cursor, ffmpeg_name
from favchat.video.frame_times import ON_TIME, frames_on_display
from favchat.video.orientation import UPRIGHT, Orientation

IMAGE_FPS = 25.0
"""Frames a second of a folder of images, which does not say."""
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass
class FoundFrames:
    """Frames that a reader found.

    Attributes:
        images: (H, W, 3) uint8 RGB each.
        times: Presentation times, seconds from the first frame of the video, increasing.
        damaged: Whether undecodable data was encountered.
        readable: Fraction of the times, 0..1, at which a frame could be read.
    """

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    damaged: bool = False
    readable: float = 1.0


class DecordUnfitError(Exception):
    """decord cannot read this file, or would index its frames wrongly."""


def read_decord(path: Path, times: NDArray[np.float64], size: Size) -> FoundFrames:
    """The frames on display at `times` (N,), increasing, seconds.

    decord applies rotation itself, but supports neither mirroring nor HDR.

    Raises:
        DecordUnfitError: The file must be read with `read_pyav`.
    """
    import decord

    # Otherwise FFmpeg repeats the exception's message on stderr.
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(ffmpeg_name(path), width=size[0], height=size[1], num_threads=1)
        begins, ends = reader.get_frame_timestamp(range(len(reader))).astype(np.float64).T
        if begins[0] < -ON_TIME or np.any(np.diff(begins) <= 0):
            raise DecordUnfitError("frames hidden by an edit list, or presentation times out of order")
        begins, end = begins - begins[0], float(ends[-1] - begins[0])
        shown = times[times <= end + SLACK]
        index = frames_on_display(begins, shown)
        images = reader.get_batch(index).asnumpy()
    except (decord.DECORDError, RuntimeError, AssertionError, IndexError) as error:
        raise DecordUnfitError(str(error)) from error
    if images.shape != (len(index), size[1], size[0], 3):
        raise DecordUnfitError(f"decord returned an array of shape {images.shape}")
    return FoundFrames(list(images), begins[index].tolist(), readable=len(shown) / len(times))


def read_pyav(path: Path, times: NDArray[np.float64], size: Size, orientation: Orientation = UPRIGHT) -> FoundFrames:
    """The frames on display at `times` (N,), increasing, seconds, rotated and mirrored by `orientation`.

    Damaged frames are skipped. Between two times the reader seeks if there is a key frame in between, and decodes
    otherwise.
    """
    found = FoundFrames()
    width, height = orientation.size(*size)
    read = 0
    with av.open(ffmpeg_name(path)) as container:
        cursor = Cursor(container)
        for time in times:
            picture = cursor.at(float(time))
            if picture is None:
                continue
            read += 1
            if found.times and picture.begin <= found.times[-1]:
                continue
            found.images.append(orientation.upright(to_rgb(picture.frame, width, height)))
            found.times.append(picture.begin)
        found.damaged = cursor.damaged
    found.readable = read / len(times)
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
    """Read an image as (H, W, 3) uint8 RGB, upright; None if the file is damaged."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def read_images(folder: Path, times: NDArray[np.float64], size: Size) -> FoundFrames:
    """The images of a folder on display at `times` (N,), increasing, seconds, each shown for 1 / `IMAGE_FPS` s.

    Damaged images are skipped.
    """
    found = FoundFrames()
    paths = numbered_images(folder)
    begins = np.arange(len(paths), dtype=np.float64) / IMAGE_FPS
    shown = np.maximum(np.searchsorted(begins, times + ON_TIME, side="right") - 1, 0)
    for index in np.unique(shown):
        image = read_image(paths[index])
        if image is None:
            found.damaged = True
            found.readable -= float(np.mean(shown == index))
            continue
        if image.shape[1::-1] != size:
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        found.images.append(image)
        found.times.append(float(begins[index]))
    return found


def read_spans(
    path: str | Path, spans: Sequence[tuple[float, float]], side: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.uint8]]]:
    """All frames on display in each of the `spans` (start and end in seconds), ordered by start; they may overlap.

    Damaged frames are skipped. The orientation is not applied.

    Yields:
        For each span (N,) float64 presentation times, seconds from the first frame of the video, increasing, and
        (N, side, side, 3) uint8 RGB, squeezed to a square.
    """
    if not spans:
        return
    kept: dict[float, NDArray[np.uint8]] = {}
    with av.open(ffmpeg_name(path)) as container:
        cursor = Cursor(container)
        for left, right in spans:
            kept = {time: image for time, image in kept.items() if time >= left}
            picture = cursor.at(left) or cursor.step()
            while picture is not None and picture.begin <= right:
                if picture.begin not in kept:
                    kept[picture.begin] = to_rgb(picture.frame, side, side, interpolation="AREA")
                picture = cursor.step()
            times = sorted(time for time in kept if time <= right)
            images = [kept[time] for time in times]
            yield np.asarray(times), np.stack(images) if images else np.zeros((0, side, side, 3), np.uint8)
