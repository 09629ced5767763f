"""Metadata of a video file: size, orientation, frame rate, duration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from favchat.video.colour import is_wide
from favchat.video.errors import VideoError
from favchat.video.frame_cursor import DEFAULT_RATE, Cursor, ffmpeg_name, untimed
from favchat.video.orientation import UPRIGHT, Orientation, orientation_of
from favchat.video.readers import IMAGE_FPS, numbered_images, read_image

Backend = Literal["decord", "pyav", "images", "memory"]

IMAGE_FOLDER = "images"

ATTACHED_PICTURE = int(av.stream.Disposition.attached_pic)

BROKEN_OFF = 1.0
"""Seconds by which a file must end before it says so to count as broken off."""


@dataclass(frozen=True)
class VideoInfo:
    """Metadata of a video.

    Attributes:
        width: Pixels, after rotation, with square pixels.
        height: Pixels, after rotation, with square pixels.
        fps: Average frame rate, 0.0 if unknown.
        duration: Seconds from the first frame to the end of the last one, regardless of timestamp offsets and of the
            audio's length; for a truncated file, the duration in its header.
        num_frames: Number of frames, estimated from duration and rate if the file has none.
        rotation: Degrees clockwise by which stored frames were rotated to be upright: 0, 90, 180 or 270.
        codec: FFmpeg's name of the codec, such as "h264"; for a folder the images' suffix, such as "jpg".
        backend: The reader of the frames: "decord", "pyav", "images" for a folder of them, or "memory".
        mirrored: Whether frames were mirrored left to right after the rotation.
        wide: Whether colours were converted to BT.709: HDR, or the primaries of BT.2020.
        times_guessed: Whether the file has no presentation times, so that a constant frame rate is assumed.
    """

    width: int
    height: int
    fps: float
    duration: float
    num_frames: int
    rotation: int
    codec: str
    backend: Backend
    mirrored: bool = False
    wide: bool = False
    times_guessed: bool = False


def probe(path: Path) -> tuple[VideoInfo, str]:
    """Metadata of a file, and FFmpeg's name of its container, or `IMAGE_FOLDER`.

    Raises:
        VideoError: The file does not exist or is not a video ("open").
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
        with av.open(ffmpeg_name(path)) as container:
            stream = _video_stream(path, container)
            name = container.format.name
            cursor = Cursor(container)
            duration = _declared_duration(stream, cursor) or _measured_duration(path, container, stream, cursor)
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            # Decode the first frame, because FFmpeg reports orientation and colours with the frames.
            frame = None if cursor.first is None else cursor.first.frame
            orientation = UPRIGHT if frame is None else orientation_of(frame)
            width, height = _upright_size(stream, cursor, orientation)
            info = VideoInfo(
                width=width,
                height=height,
                fps=rate,
                duration=duration,
                num_frames=stream.frames or max(1, round(duration * rate)),
                rotation=orientation.rotation,
                codec=stream.codec_context.codec.canonical_name,
                backend="pyav",
                mirrored=orientation.mirrored,
                wide=frame is not None and is_wide(frame),
                times_guessed=untimed(container, stream),
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
        times_guessed=True,
    )


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if isinstance(stream, VideoStream) and not int(stream.disposition) & ATTACHED_PICTURE:
        return stream
    if container.streams.audio:
        raise VideoError(path, "open", "no video stream: the file holds audio only")
    raise VideoError(path, "open", "no video stream: the file holds nothing but a header")


def _declared_duration(stream: VideoStream, cursor: Cursor) -> float:
    """Duration of the video stream in the header, seconds from the first decodable frame; 0 if there is none."""
    time_base = float(stream.time_base or 0)
    duration = float(stream.duration or 0) * time_base
    if duration <= 0:
        return 0.0
    # A recording may start between two key frames; frames before the first key frame cannot be decoded.
    late = 0.0 if stream.start_time is None else max(0.0, cursor.origin - stream.start_time * time_base)
    if stream.container.format.name == "avi" and stream.average_rate:
        # FFmpeg shortens the duration of a truncated file to what is there, but not the header's number of frames.
        duration = max(duration, stream.frames / float(stream.average_rate))
    return max(0.0, duration - late)


def _measured_duration(path: Path, container: InputContainer, stream: VideoStream, cursor: Cursor) -> float:
    """Duration of the video stream measured from packets, for files whose header has only one duration for all streams.

    Reads from the last key frame on, or all packets if the file is not seekable.
    """
    step = 1.0 / float(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
    pictures, everything = -1.0, 0.0
    try:
        container.seek(2**62, stream=stream)
        pictures, everything = _ends(container.demux(), stream.index, step)
    except av.FFmpegError:
        pass
    if pictures < 0:
        with av.open(ffmpeg_name(path)) as fresh:
            pictures, everything = _ends(fresh.demux(), stream.index, step)
    should = (container.duration or 0) / av.time_base
    if should - everything > BROKEN_OFF:
        # Tag of Matroska files.
        found = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
        pictures = should if found is None else float(np.dot([float(part) for part in found.groups()], (3600, 60, 1)))
    return max(0.0, pictures - cursor.origin)


def _ends(packets: Iterator[Packet], index: int, step: float) -> tuple[float, float]:
    """End times of the video stream and of all streams, in file timestamps, seconds; -1 without frames.

    Frames without timestamps count as one `step` each.
    """
    pictures, everything = -1.0, 0.0
    try:
        for packet in packets:
            if not packet.size:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            unit = float(packet.time_base or 0)
            own = packet.stream_index == index
            length = packet.duration * unit if packet.duration else step * own
            if stamp is not None:
                end = stamp * unit + length
            elif own:
                end = max(pictures, 0.0) + step
            else:
                continue
            everything = max(everything, end)
            if own:
                pictures = max(pictures, end)
    except av.FFmpegError:
        pass  # the container is truncated here: use what was read so far
    return pictures, everything


def _upright_size(stream: VideoStream, cursor: Cursor, orientation: Orientation) -> tuple[int, int]:
    """Width and height of upright frames with square pixels."""
    frame = None if cursor.first is None else cursor.first.frame
    width, height = (stream.width, stream.height) if frame is None else (frame.width, frame.height)
    aspect = float(stream.sample_aspect_ratio or 1)
    # Non-square pixels are shrunk along their longer side, so that nothing is enlarged.
    # Pixel aspect ratios outside 1:4 to 4:1 are taken for muxer errors.
    if 1 < aspect <= 4:
        height = round(height / aspect)
    elif 0.25 <= aspect < 1:
        width = round(width * aspect)
    return orientation.size(width, height)
