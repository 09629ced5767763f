"""The media deployment: from a video's bytes to frames, track and aligned faces."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import av

import favchat
from favchat.config import Config
from favchat.hub.saved_settings import saved_clip_settings
from favchat.runtime.threads import server_threads
from favchat.video import ProcessedClip, VideoError
from favchat.video.decode import probe
from favchat.video.frame_cursor import Cursor
from favchat.video.seen_frames import as_seen
from favchat.video.windows import default_window, followed, window_clips, window_spans
from serve.errors import ApiError
from serve.people import RememberingDetector, count_people, told_of
from serve.preview import is_playable, write_preview
from serve.replica_process import compute_behind_the_api
from serve.store import VideoStore
from serve.view import FACES

GRACE = 10.0
"""Seconds beyond the time limit after which a decoder counts as hung."""

SAMPLE = Path(favchat.__file__).parent / "sample" / "clips" / "pexels_0.mp4"
"""What a replica warms up with."""

DECODERS = 2
"""Videos that a replica decodes at once; what is only looked at does not wait for them."""

REMEMBERED = 64
"""Videos of which a replica remembers that it has checked them: they are usually asked about at once."""

MAX_WINDOWS = 64
"""Most windows of a video."""


Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Windows:
    """A face over time.

    Attributes:
        window_s: Seconds of a window, 0 where there are none.
        stride_s: Seconds from the begin of one to the begin of the next.
        spans: Begin and end of each, seconds.
        clips: The whole clip, then that of each window, None where the face is not to be seen; each holds the pictures
            alone that the model sees.
    """

    window_s: float
    stride_s: float
    spans: list[tuple[float, float]]
    clips: list[ProcessedClip | None]


class MediaReplica:
    """Decodes each video once; the clip goes to the store."""

    def __init__(self, config: Config) -> None:
        compute_behind_the_api()
        self.config, self.store = config, VideoStore.of(config)
        # The clips are read as those that the model was trained on.
        self.specification, self.num_frames = saved_clip_settings(config.serve.model or "")
        threads = server_threads(config.serve.threads)
        self.detector = RememberingDetector(self.specification.make_detector(threads=threads))
        # Nobody waits for what a first video takes.
        self.specification.read(SAMPLE, self.detector)
        self.decoded = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._began: dict[object, float] = {}
        self._places = asyncio.Semaphore(DECODERS)
        self._checked: deque[str] = deque(maxlen=REMEMBERED)

    async def check(self, incoming: str, key: str) -> None:
        """See that bytes that came are a video, of a size and length that may be asked about.

        Args:
            incoming: Name of the file among the store's incoming ones.
            key: The video that it will be.

        Raises:
            ApiError: They are not, the message says why.
        """
        await self._in_thread(self._check, self.store.incoming(incoming))
        self._checked.append(key)

    async def playable(self, key: str) -> bool:
        """Whether browsers play a video as it is.

        Raises:
            ApiError: It cannot be read, the message says why.
        """
        return await self._in_thread(is_playable, self.store.source(key))

    async def preview(self, key: str) -> None:
        """See that the store holds a preview of a video.

        Raises:
            ApiError: The video cannot be read, the message says why.
        """
        if not await asyncio.to_thread(self.store.derived.preview(key).exists):
            await self._once(f"preview {key}", self._write_preview, key)

    async def prepare(self, key: str, face: int = 0) -> None:
        """See that the store holds the clip of a face.

        Args:
            key: The video.
            face: Which face, 0 the main one.

        Raises:
            ApiError: The video cannot be used, or has no such face; the message says why.
        """
        if not await asyncio.to_thread(self.store.derived.clip(key).exists):
            await self._once(f"clip {key}", self._process, key)
        if not face:
            return
        faces = len((await asyncio.to_thread(self.store.derived.told, key, "facts"))["people"])
        if face >= faces:
            there = "one face, 0" if faces == 1 else f"{faces} faces, 0 to {faces - 1}"
            message = f"face = {face}: the video shows {there}, in at least "
            message += f"{self.specification.min_share:.0%} of its frames.".replace("%", " %")
            raise ApiError(400, message, "face", "face_not_found")
        if not await asyncio.to_thread(self.store.derived.clip(key, face).exists):
            await self._once(f"clip {key} {face}", partial(self._process_further, face=face), key)

    async def windows(self, key: str, face: int, window_s: float | None, stride_s: float | None) -> Windows:
        """The windows of one face of a video.

        Args:
            key: The video, the face's clip prepared.
            face: Which face, 0 the main one.
            window_s: Seconds of a window; None: the server chooses; 0: none.
            stride_s: Seconds from the begin of one to the begin of the next; None: as long as a window.

        Raises:
            ApiError: There would be too many windows.
        """
        async with self._places:
            return await self._in_thread(partial(self._windows, face=face, window=window_s, stride=stride_s), key)

    async def counters(self) -> dict[str, int]:
        """What this replica has done."""
        return {"decoded": self.decoded}

    def check_health(self) -> None:
        """Let Ray Serve replace a replica whose decoder hangs: a thread cannot be stopped from outside.

        Raises:
            RuntimeError: A decoder has been running for longer than the time limit.
        """
        limit = self.config.serve.media_timeout + GRACE
        if any(time.monotonic() - began > limit for began in list(self._began.values())):
            raise RuntimeError(f"a video has been decoding for more than {limit:g} s")

    async def _once(self, name: str, work: Callable[[str], None], key: str) -> None:
        """Do heavy work that several clients may be waiting for."""
        if name not in self._running:
            self._running[name] = asyncio.create_task(self._heavy(work, key))
            self._running[name].add_done_callback(lambda _: self._running.pop(name))
        # One client's leaving must not take the result from others who wait for it.
        await asyncio.shield(self._running[name])

    async def _heavy(self, work: Callable[[str], None], key: str) -> None:
        async with self._places:
            await self._in_thread(work, key)
        if work == self._process:
            self.decoded += 1

    async def _in_thread(self, work: Callable[[Given], Result], given: Given) -> Result:
        """What `work` returns, unless it takes too long or there is no such video."""
        try:
            return await asyncio.wait_for(
                asyncio.to_thread(self._timed, partial(work, given)), self.config.serve.media_timeout
            )
        except TimeoutError:
            raise ApiError(
                400,
                f"Decoding the video took longer than {self.config.serve.media_timeout:g} s.",
                "messages",
                "video_timeout",
            ) from None
        except VideoError as error:
            code = "no_face" if error.stage == "track" else "invalid_video"
            raise ApiError(400, f"The video cannot be used: {error.reason}.", "messages", code) from None

    def _timed(self, work: Callable[[], Result]) -> Result:
        """Do work, and let the time be seen that it takes."""
        this = object()
        self._began[this] = time.monotonic()
        try:
            return work()
        finally:
            del self._began[this]

    def _check(self, path: Path) -> None:
        info, _ = probe(path)
        limits = self.config.serve
        if info.duration > limits.max_duration:
            raise ApiError(
                400,
                f"The video lasts {info.duration:.1f} s; the limit is {limits.max_duration:g} s.",
                code="video_too_long",
            )
        if max(info.width, info.height) > limits.max_side:
            raise ApiError(
                400,
                f"The video has {info.width} x {info.height} pixels; the limit is {limits.max_side} on a side.",
                code="video_too_large",
            )
        with av.open(str(path)) as container:
            if Cursor(container).first is None:
                raise VideoError(path, "decode", "no frame could be decoded: the video data is damaged or incomplete")

    def _write_preview(self, key: str) -> None:
        self.store.derived.write(self.store.derived.preview(key), partial(write_preview, self.store.source(key)))

    def _process(self, key: str) -> None:
        path = self.store.source(key)
        if key not in self._checked:  # it came before this replica did, or to another one
            self._check(path)
        clips = self.specification.read(path, self.detector, max_tracks=FACES)
        found, size = self.detector.last()
        people = [count_people(found, size, clip, self.specification.min_share) for clip in clips]
        facts = {"people": people, "readable": clips[0].readable}
        self.store.derived.write_clip(key, clips[0], facts=facts, faces=[told_of(clip) for clip in clips])

    def _process_further(self, key: str, face: int) -> None:
        clips = self.specification.read(self.store.source(key), self.detector, max_tracks=face + 1)
        self.store.derived.write_clip(key, clips[face], face=face)

    def _windows(self, key: str, face: int, window: float | None, stride: float | None) -> Windows:
        clip = self.store.derived.read_clip(key, face)
        begin, end = followed(clip)
        length = default_window(begin, end) if window is None else window
        step = stride or length
        if length and (end - begin) / step > MAX_WINDOWS:
            raise ApiError(
                400,
                f"A window each {step:g} s of {end - begin:.1f} s are more than {MAX_WINDOWS}. Take a longer stride_s.",
                "stride_s",
                "too_many_windows",
            )
        spans = window_spans(begin, end, length, step) if length else []
        clips = window_clips(self.store.source(key), self.detector, self.specification, clip, spans)
        return Windows(length, step, spans, [self._as_seen(clip), *(one and self._as_seen(one) for one in clips)])

    def _as_seen(self, clip: ProcessedClip) -> ProcessedClip:
        """With the pictures alone that the model sees: the clips of all windows go from process to process."""
        return as_seen(clip, self.num_frames)
