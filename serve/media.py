"""The media deployment: from a video's bytes to frames, track and aligned faces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import av

from favchat.config import Config
from favchat.model import FaVChatProcessor
from favchat.video import VideoError
from favchat.video.cursor import Cursor
from favchat.video.decode import probe
from serve.errors import ApiError
from serve.people import RememberingDetector, count_people
from serve.preview import is_playable, write_preview
from serve.store import VideoStore

GRACE = 10.0
"""Seconds beyond the time limit after which a decoder counts as hung."""

DECODERS = 2
"""Videos that a replica decodes at once; what is only looked at does not wait for them."""

Given = TypeVar("Given")
Result = TypeVar("Result")


class MediaReplica:
    """Decodes each video once; the clip goes to the store."""

    def __init__(self, config: Config) -> None:
        self.config, self.store = config, VideoStore.of(config)
        # The clips are read as those that the model was trained on.
        self.specification = FaVChatProcessor.from_pretrained(config.serve.model).clip_specification
        self.detector = RememberingDetector(self.specification.make_detector())
        self.decoded = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._began: dict[object, float] = {}
        self._places = asyncio.Semaphore(DECODERS)

    async def check(self, incoming: str) -> None:
        """See that bytes that came are a video, of a size and length that may be asked about.

        Args:
            incoming: Name of the file among the store's incoming ones.

        Raises:
            ApiError: They are not, the message says why.
        """
        await self._in_thread(self._check, self.store.incoming(incoming))

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
        if not await asyncio.to_thread(self.store.preview(key).exists):
            await self._once(f"preview {key}", self._write_preview, key)

    async def prepare(self, key: str) -> None:
        """See that the store holds the clip of a video.

        Raises:
            ApiError: The video cannot be used, the message says why.
        """
        if not await asyncio.to_thread(self.store.clip(key).exists):
            await self._once(f"clip {key}", self._process, key)

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
        self.store.write(self.store.preview(key), partial(write_preview, self.store.source(key)))

    def _process(self, key: str) -> None:
        path = self.store.source(key)
        self._check(path)
        clip = self.specification.read(path, self.detector)[0]
        found, size = self.detector.last()
        people = count_people(found, size, clip, self.specification.min_share)
        self.store.write_clip(key, clip, {"people": people, "readable": clip.readable})
