"""Videos for browsers, which play far fewer kinds than FFmpeg reads."""

from __future__ import annotations

from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from favchat.video import VideoError, read_frames
from favchat.video.decode import fit_size, probe

PLAYABLE = {"mov,mp4,m4a,3gp,3g2,mj2": {"h264", "av1", "vp9"}, "matroska,webm": {"vp8", "vp9", "av1"}}
"""Codecs that all browsers play, by FFmpeg's name of the container."""
COLOURS = {"yuv420p", "yuvj420p"}
"""Pixel formats that all browsers play: no more than 8 bits."""

FPS = 12
"""Frames a second of a preview."""
SECONDS = 60.0
"""Longest preview."""
SIDE = 480
"""Longest side of a preview in pixels."""
PART = 4.0
"""Seconds that are decoded at once: 17 MB."""
TICKS = 90_000
"""Parts of a second that times are counted in."""


def is_playable(path: Path) -> bool:
    """Whether all browsers play a file.

    Raises:
        VideoError: It is no video.
    """
    probe(path)
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            return False
        name = container.format.name
        codec = stream.codec_context
        if codec.codec.canonical_name not in PLAYABLE.get(name, ()) or codec.pix_fmt not in COLOURS:
            return False
    with path.open("rb") as file:
        # Of Matroska files browsers take those alone that say to be WebM, within their first bytes.
        return "matroska" not in name or b"webm" in file.read(64)


def write_preview(source: Path, target: Path) -> None:
    """Write the first `SECONDS` of a video as the model sees it, upright, as H.264 in MP4, without sound.

    Raises:
        VideoError: No frame of it can be decoded.
    """
    info, _ = probe(source)
    width, height = fit_size(info.width, info.height, SIDE)
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "26"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        last = -1
        for index in count():
            start = index * PART
            end = min(start + PART, info.duration, SECONDS)
            if start >= end:
                break
            try:
                read = read_frames(source, start=start, end=end, fps=FPS, max_frames=round(PART * FPS), max_side=SIDE)
            except VideoError:
                if last < 0:
                    raise
                break  # what comes is damaged, or is not there although the header says so
            for image, time in zip(read.images, read.timestamps, strict=True):
                tick = round((start + float(time)) * TICKS)
                if tick > last:
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                    frame.pts, frame.time_base, last = tick, Fraction(1, TICKS), tick
                    container.mux(stream.encode(frame))
        container.mux(stream.encode())
