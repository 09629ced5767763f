"""Samples frames of a video file, scaled and upright.

Two readers over the same FFmpeg. decord reads whole MP4 and Matroska files, and PyAV the rest: MPEG program streams,
where decord silently skips the first group of pictures (half a second), and other containers whose packets lack
presentation times; files with frames hidden by an edit list, which shift decord's frame numbers; mirrored video and
HDR, which decord does not support; parts of a file and long files, because decord reads all packets when it opens one
and, where it has to skip many frames after a seek, sometimes gives up and returns a frame from before the wanted one;
and whatever decord fails on, mainly damaged files. `benchmarks/decode.py` and `benchmarks/long_videos.py` measure both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from favchat.config.data import FPS
from favchat.video.decoded import DecodedVideo
from favchat.video.errors import VideoError
from favchat.video.file_info import IMAGE_FOLDER, VideoInfo, probe
from favchat.video.frame_cursor import INDEXED_CONTAINERS
from favchat.video.frame_times import sample_times
from favchat.video.orientation import Orientation
from favchat.video.readers import DecordUnfitError, FoundFrames, read_decord, read_images, read_pyav

DECORD_LONGEST = 60.0
"""Seconds of the longest video that decord reads."""

__all__ = ["Frames", "VideoInfo", "fit_size", "probe", "read_frames"]


@dataclass(frozen=True)
class Frames:
    """Sampled frames.

    Attributes:
        images: (T, H, W, 3) uint8 RGB.
        timestamps: (T,) float64 presentation times, seconds after the part's start, increasing. A frame that is
            already on display at the start has 0.
        info: The file they come from.
        readable: Fraction of the sampling times, 0..1, at which a frame could be read: less than 1 if the file is
            damaged or truncated.
    """

    images: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    info: VideoInfo
    readable: float = 1.0


def read_frames(
    path: str | Path | DecodedVideo,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float = FPS,
    max_frames: int = 16,
    max_side: int | None = None,
) -> Frames:
    """Sample frames from a part of a video.

    Args:
        path: A file in any container and codec that FFmpeg reads, a folder of numbered images (25 per second), or
            frames in memory.
        start: Start of the part, seconds.
        end: End of the part, exclusive, seconds; None is the end of the video.
        fps: Sampling rate, frames per second.
        max_frames: If `fps` gives more frames, this many are sampled uniformly.
        max_side: Longest side of the returned frames in pixels. Frames are only scaled down, with
            the aspect ratio kept and both sides even. None keeps the video's size.

    Returns:
        The frames; fewer than requested if the video has fewer or is damaged.

    Raises:
        ValueError: A setting is out of range.
        VideoError: The file cannot be opened ("open"), or yields no frame, or is damaged and yields fewer than two
            ("decode").
    """
    if max_side is not None and max_side < 2:
        raise ValueError(f"max_side = {max_side}: need at least 2 pixels")
    # Validate the settings before the file is opened; its actual end is known only afterwards.
    sample_times(start, start + 1.0 if end is None else end, fps=fps, max_frames=max_frames)
    if isinstance(path, DecodedVideo):
        info, container_name = path.info, ""
    else:
        path = Path(path)
        info, container_name = probe(path)
    if start >= info.duration:
        raise VideoError(
            path, "open", f"start = {start:g} s lies beyond the end of the video, which lasts {info.duration:.2f} s"
        )
    stop = info.duration if end is None else min(end, info.duration)
    times = sample_times(start, stop, fps=fps, max_frames=max_frames)
    size = fit_size(info.width, info.height, max_side)

    whole = start == 0.0 and stop == info.duration
    if isinstance(path, DecodedVideo):
        found = path.at(times, size)
    else:
        found, info = _read(path, container_name, info, times, size, whole=whole)
    if not found.images:
        raise VideoError(path, "decode", "no frame could be decoded: the video data is damaged or incomplete")
    if found.damaged and len(found.images) < 2:
        raise VideoError(path, "decode", "only one frame could be decoded: the video data is damaged or incomplete")
    timestamps = np.maximum(np.asarray(found.times, dtype=np.float64) - start, 0.0)
    return Frames(np.stack(found.images), timestamps, info, found.readable)


def _read(
    path: Path, container_name: str, info: VideoInfo, times: NDArray[np.float64], size: tuple[int, int], *, whole: bool
) -> tuple[FoundFrames, VideoInfo]:
    """The frames of a file or folder on display at `times`, and what is known of it, with the reader that was fit."""
    if container_name == IMAGE_FOLDER:
        return read_images(path, times, size), info
    fit = container_name in INDEXED_CONTAINERS and info.duration <= DECORD_LONGEST and not (info.mirrored or info.wide)
    if whole and fit:
        try:
            return read_decord(path, times, size), replace(info, backend="decord")
        except DecordUnfitError:
            pass
    return read_pyav(path, times, size, Orientation(info.rotation, info.mirrored)), info


def fit_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """Width and height in pixels, both even, longest side at most `max_side`, aspect ratio kept, never enlarged."""
    scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    even_w, even_h = (max(2, 2 * round(side * scale / 2 - 1e-6)) for side in (width, height))
    return even_w, even_h
