"""A forward-moving position in a video, which yields the frame on display at given times."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from favchat.video.frame_times import ON_TIME

INDEXED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
"""FFmpeg's names of the containers whose packets carry presentation times and whose index names true key frames."""
LONG_GAP = 10.0
"""Seconds from which on a seek is worth it even where no index says that a key frame lies between."""
SEEK_BACK = (0.0, 1.0, 4.0, 16.0, float("inf"))
"""Seconds to go back when a seek arrived too late: some indices count in decoding time, some only guess."""
SLACK = 0.1
"""Seconds that a picture stands beyond its own end where none follows: containers round durations."""
DEFAULT_RATE = 25.0
"""Frames a second where the file does not say; FFmpeg assumes the same."""


class Picture(NamedTuple):
    """A decoded frame and its display interval.

    Attributes:
        frame: As decoded.
        begin: Presentation time, seconds from the first frame of the video.
        end: Earliest end of its display, seconds from the first frame.
        after_gap: Whether frames between the previous one and this one could not be decoded.
    """

    frame: VideoFrame
    begin: float
    end: float
    after_gap: bool


def ffmpeg_name(path: str | Path) -> str:
    """A path that FFmpeg opens as a file, whatever its name: ``12:30.mp4`` alone would be the protocol "12"."""
    return os.path.abspath(path)


def is_bare(container: InputContainer) -> bool:
    """Whether this is an elementary stream without a container, and therefore without timestamps."""
    return av.format.Flags.no_timestamps in av.format.Flags(container.format.flags)


def untimed(container: InputContainer, stream: VideoStream) -> bool:
    """Whether a container has no presentation times, only the decoding order.

    True of elementary streams, and of AVI with B-frames, which are stored in another order than displayed.
    """
    reordered = container.format.name == "avi" and bool(stream.codec_context.has_b_frames)
    return reordered or is_bare(container)


class Cursor:
    """A forward-moving position in a video; it moves by decoding or seeking, whichever is shorter.

    Times are relative to the first frame, even if audio starts earlier or the file's timestamps do not start at 0.

    Attributes:
        damaged: Whether undecodable data was encountered.
        first: The video's first frame, None if nothing can be decoded.
        rest: Iterator over the frames after the last one taken.
        origin: The file's timestamp of the first frame, seconds.
    """

    def __init__(self, container: InputContainer) -> None:
        self.damaged = False
        self._container = container
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or not stream.time_base:
            raise ValueError(f"{container.name}: no video stream to read frames from")
        self._stream = stream
        self._time_base = float(stream.time_base)
        self._step = 1.0 / float(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
        # One thread: many clips are read concurrently, each by its own process.
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        self._untimed = untimed(container, stream)
        self._indexed = container.format.name in INDEXED_CONTAINERS
        # In an elementary stream the position after a seek is unknown.
        self._seekable = not is_bare(container)
        self.origin = 0.0
        self.rest: Iterator[Picture] = self._decode()
        self._shown: Picture | None = None
        self._next = next(self.rest, None)
        if self._next is not None:
            # If the beginning is damaged, the origin is taken from the container.
            known = stream.start_time is not None and self._next.after_gap
            self.origin = float(stream.start_time or 0) * self._time_base if known else self._next.begin
            self._next = self._next._replace(begin=self._next.begin - self.origin, end=self._next.end - self.origin)
        self.first = self._next
        self._keys = np.zeros(0)
        self._entries = -1
        # FFmpeg reads Matroska's index at the first seek; before that it may know only the first key frame.
        self._index_read = False

    def at(self, time: float) -> Picture | None:
        """The frame on display at `time`, seconds; None if it could not be decoded or the video has ended."""
        if self._worth_seeking(time):
            self._seek(time)
        while self._next is not None and self._next.begin <= time + ON_TIME:
            self.step()
        if self._shown is None:
            return None if self._next is None or self._next.after_gap else self._next
        # A frame is displayed until the next one. If that is lost or there is none, its own duration counts.
        last = self._next is None or self._next.after_gap
        return None if last and time > self._shown.end + SLACK else self._shown

    def step(self) -> Picture | None:
        """Advance to the next frame and return it; None after the last one."""
        if self._next is not None:
            self._shown, self._next = self._next, next(self.rest, None)
            return self._shown
        return None

    def _worth_seeking(self, time: float) -> bool:
        if not self._seekable:
            return False
        here = self._shown.begin if self._shown is not None else 0.0
        if self._entries < 0:
            self._read_keys()
        if len(self._keys) and bool(np.any((self._keys > here + ON_TIME) & (self._keys <= time))):
            return True
        if len(self._keys) and self._index_read:
            return False
        return time - max([here, *self._keys[-1:].tolist()]) > LONG_GAP

    def _read_keys(self) -> None:
        """Note the times of the key frames in the index, if it has changed; none if the index is unreliable."""
        entries = self._stream.index_entries
        if len(entries) == self._entries:
            return  # an hour's index takes as long to go through as some 20 frames to decode
        self._entries = len(entries)
        keys = [entry.timestamp for entry in entries if entry.is_keyframe] if self._indexed else []
        self._keys = np.sort(np.asarray(keys, dtype=np.float64) * self._time_base - self.origin)

    def _seek(self, time: float) -> None:
        moved = False
        for back in SEEK_BACK:
            target = max(0.0, time - back)
            try:
                self._container.seek(round((target + self.origin) / self._time_base), stream=self._stream)
            except av.FFmpegError:
                continue
            moved = True
            pictures = self._decode(None if target == 0.0 else time)
            first = next(pictures, None)
            if not self._index_read:
                self._read_keys()
                self._index_read = True
            if first is not None and (first.begin <= time + ON_TIME or target == 0.0):
                self.rest, self._shown, self._next = pictures, None, first
                return
        if moved:
            self.damaged, self._next = True, None
        else:  # a file that is not seekable is decoded further
            self._seekable = False

    def _decode(self, key_by: float | None = None) -> Iterator[Picture]:
        """Yield intact frames from here on, in display order.

        After damage the decoder continues with wrong reference frames and mixes pictures, so frames are skipped until
        the next key frame.

        Args:
            key_by: Begin at a key frame, and yield nothing if there is none up to this time, seconds: without an index
                a seek may end anywhere, and what it then skipped over need not be decoded to see that it was too late.
        """
        intact, gap = True, False
        # For containers without presentation times: decoding times of the packets inside the decoder. The n-th
        # frame that comes out gets the n-th of them.
        due: deque[float] = deque()
        expected = 0.0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                # The container is truncated here.
                self.damaged = True
                return
            if key_by is not None and packet.size:
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and stamp * self._time_base - self.origin > key_by + ON_TIME:
                    return
                if not packet.is_keyframe:
                    continue
                key_by = None
            if packet.size:
                due.append(expected if packet.dts is None else packet.dts * self._time_base)
                expected = due[-1] + self._step
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged, intact, gap = True, False, True
                if packet.size:
                    due.pop()
                continue
            for frame in frames:
                begin = due.popleft() if due else expected
                stamp = frame.pts if frame.pts is not None else frame.dts
                if not self._untimed and stamp is not None:
                    begin = stamp * self._time_base
                if frame.is_corrupt:
                    self.damaged, intact, gap = True, False, True
                elif intact or frame.key_frame:
                    length = frame.duration * self._time_base if frame.duration else self._step
                    yield Picture(frame, begin - self.origin, begin + length - self.origin, gap)
                    intact, gap = True, False
