"""Sampled frames of a video file, scaled and upright.

Two readers over the same FFmpeg. decord reads whole MP4 and Matroska files, and PyAV the rest: MPEG program streams,
where decord skips the first group of pictures (half a second) without a word, and other containers whose packets lack
presentation times; files with frames hidden by an edit list, which shift decord's frame numbers; parts of a file,
because decord reads all packets when it opens one; and whatever decord refuses. `benchmarks/decode.py` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from favchat.video.errors import VideoError
from favchat.video.readers import (
    IMAGE_FPS,
    INDEXED_CONTAINERS,
    Cursor,
    DecordUnfitError,
    FoundFrames,
    numbered_images,
    read_decord,
    read_image,
    read_images,
    read_pyav,
)
from favchat.video.sample import sample_times

Backend = Literal["decord", "pyav", "images"]

IMAGE_FOLDER = "images"

ATTACHED_PICTURE = int(av.stream.Disposition.attached_pic)


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its video.

    Attributes:
        width: Pixels, after rotation, with square pixels.
        height: Pixels, after rotation, with square pixels.
        fps: Average frame rate, 0.0 where the file does not say.
        duration: Seconds.
        num_frames: Number of frames, estimated from duration and rate where the file does not say.
        rotation: Degrees clockwise by which the stored picture had to be turned to stand upright: 0, 90, 180 or 270.
        codec: FFmpeg's name of the codec, such as "h264"; of a folder the images' suffix, such as "jpg".
        backend: Which reader gave the frames: "decord", "pyav", or "images" for a folder of them.
    """

    width: int
    height: int
    fps: float
    duration: float
    num_frames: int
    rotation: int
    codec: str
    backend: Backend


@dataclass(frozen=True)
class Frames:
    """Sampled frames.

    Attributes:
        images: (T, H, W, 3) uint8 RGB.
        timestamps: (T,) float64 presentation times, seconds after the part's start, increasing. A frame that was
            already on display at the start has 0.
        info: The file they come from.
    """

    images: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    info: VideoInfo


def read_frames(
    path: str | Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float = 4.0,
    max_frames: int = 16,
    max_side: int | None = None,
) -> Frames:
    """Sample frames from a part of a video.

    Args:
        path: A file in any container and codec that FFmpeg reads, or a folder of numbered images (25 a second).
        start: Begin of the part, seconds.
        end: End of the part, exclusive, seconds; None is the end of the video.
        fps: Frames a second to sample.
        max_frames: Where `fps` gives more, this many are spread uniformly over the part.
        max_side: Longest side of the returned frames in pixels. Frames are scaled down to it, never up, the
            aspect is kept and both sides are even. None keeps the video's size.

    Returns:
        The frames. Fewer than asked for where the video has fewer, or where part of it is damaged.

    Raises:
        ValueError: A setting is out of range.
        VideoError: The file cannot be opened ("open"), or gives no frame, or, damaged, fewer than two ("decode").
    """
    if max_side is not None and max_side < 2:
        raise ValueError(f"max_side = {max_side}: need at least 2 pixels")
    # Validate before the file is touched; the real end is known only after.
    sample_times(start, start + 1.0 if end is None else end, fps=fps, max_frames=max_frames)
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
    found: FoundFrames | None = None
    if whole and container_name in INDEXED_CONTAINERS:
        try:
            found = read_decord(path, times, size)
            info = replace(info, backend="decord")
        except DecordUnfitError:
            found = None
    if container_name == IMAGE_FOLDER:
        found = read_images(path, times, size)
    if found is None:
        found = read_pyav(path, times, size, info.rotation)

    if not found.images:
        raise VideoError(path, "decode", "no frame could be decoded: the video data is damaged or incomplete")
    if found.damaged and len(found.images) < 2:
        raise VideoError(path, "decode", "only one frame could be decoded: the video data is damaged or incomplete")
    timestamps = np.maximum(np.asarray(found.times, dtype=np.float64) - start, 0.0)
    return Frames(np.stack(found.images), timestamps, info)


def fit_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """Width and height in pixels, both even, longest side at most `max_side`, aspect kept, never larger."""
    scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    even_w, even_h = (max(2, 2 * round(side * scale / 2 - 1e-6)) for side in (width, height))
    return even_w, even_h


def probe(path: Path) -> tuple[VideoInfo, str]:
    """What the header of a file says, and FFmpeg's name of its container, or `IMAGE_FOLDER`.

    Raises:
        VideoError: There is no such file, or it is no video ("open").
    """
    if not path.exists():
        raise VideoError(path, "open", "no such file")
    if path.is_dir():
        return _probe_images(path), IMAGE_FOLDER
    if not path.is_file():
        raise VideoError(path, "open", "not a regular file")
    if path.stat().st_size == 0:
        raise VideoError(path, "open", "the file is empty (0 bytes)")
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(path, container)
            name, time_base = container.format.name, float(stream.time_base or 0)
            duration = float(stream.duration or 0) * time_base or (container.duration or 0) / av.time_base
            if duration <= 0:
                duration = _measured_duration(container, stream)
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            codec = stream.codec_context.codec.canonical_name
            aspect = float(stream.sample_aspect_ratio or 1)
            rotation, width, height = _upright(container, stream, aspect)
            info = VideoInfo(
                width=width,
                height=height,
                fps=rate,
                duration=duration,
                num_frames=stream.frames or max(1, round(duration * rate)),
                rotation=rotation,
                codec=codec,
                backend="pyav",
            )
    except PermissionError as error:
        raise VideoError(path, "open", "no permission to read the file") from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(path, "open", "not a video file, or its header is damaged") from error
    if info.width < 2 or info.height < 2 or info.duration <= 0:
        raise VideoError(path, "open", "the video stream holds no pictures")
    return info, name


def _probe_images(folder: Path) -> VideoInfo:
    paths = numbered_images(folder)
    if not paths:
        raise VideoError(folder, "open", "this is a directory without numbered images, not a file")
    first = next((image for image in map(read_image, paths) if image is not None), None)
    if first is None:
        raise VideoError(folder, "open", "none of the images in this directory can be read")
    height, width = first.shape[:2]
    return VideoInfo(
        width=width,
        height=height,
        fps=IMAGE_FPS,
        duration=len(paths) / IMAGE_FPS,
        num_frames=len(paths),
        rotation=0,
        codec=paths[0].suffix[1:].lower(),
        backend="images",
    )


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if isinstance(stream, VideoStream) and not int(stream.disposition) & ATTACHED_PICTURE:
        return stream
    if container.streams.audio:
        raise VideoError(path, "open", "no video stream: the file holds audio only")
    raise VideoError(path, "open", "no video stream: the file holds nothing but a header")


def _measured_duration(container: InputContainer, stream: VideoStream) -> float:
    """Seconds from the first to the end of the last packet, for files whose header does not say; reads the file."""
    ends = [(packet.pts + (packet.duration or 0)) for packet in container.demux(stream) if packet.pts is not None]
    container.seek(0)
    return (max(ends) - (stream.start_time or 0)) * float(stream.time_base or 0) if ends else 0.0


def _upright(container: InputContainer, stream: VideoStream, aspect: float) -> tuple[int, int, int]:
    """Degrees clockwise to turn the stored picture by, and width and height after that, with square pixels.

    FFmpeg hands the display matrix on with the frames, so one frame is decoded.
    """
    frame = Cursor(container).first
    rotation = 0 if frame is None else round(-frame.rotation / 90) * 90 % 360
    width, height = (stream.width, stream.height) if frame is None else (frame.width, frame.height)
    # Pixels that are not square are squeezed along their longer side, so that nothing is scaled up.
    # Aspects outside 1:4 to 4:1 are slips of a muxer.
    if 1 < aspect <= 4:
        height = round(height / aspect)
    elif 0.25 <= aspect < 1:
        width = round(width * aspect)
    return (rotation, height, width) if rotation % 180 else (rotation, width, height)
