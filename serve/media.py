"""The media deployment: from a video's bytes to frames, track and aligned faces."""

from __future__ import annotations

import asyncio
import time

from favchat.config import Config
from favchat.model import FaVChatProcessor
from favchat.video import VideoError
from favchat.video.decode import probe
from serve.errors import ApiError
from serve.store import VideoStore

GRACE = 10.0
"""Seconds beyond the time limit after which a decoder counts as hung."""


class MediaReplica:
    """Decodes each video once; the clip goes to the store."""

    def __init__(self, config: Config) -> None:
        self.config, self.store = config, VideoStore.of(config)
        # The clips are read as those that the model was trained on.
        self.specification = FaVChatProcessor.from_pretrained(config.serve.model).clip_specification
        self.detector = self.specification.make_detector()
        self.decoded = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._began: dict[str, float] = {}

    async def prepare(self, key: str) -> None:
        """See that the store holds the clip of a video.

        Raises:
            ApiError: The video cannot be used, the message says why.
        """
        if self.store.clip(key).exists():
            return
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._prepare(key))
        task = self._running[key]
        try:
            # One client's leaving must not take the clip from others who wait for it.
            await asyncio.wait_for(asyncio.shield(task), self.config.serve.media_timeout)
        except TimeoutError:
            raise ApiError(
                400,
                f"Decoding the video took longer than {self.config.serve.media_timeout:g} s.",
                code="video_timeout",
            ) from None

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

    async def _prepare(self, key: str) -> None:
        self._began[key] = time.monotonic()
        try:
            await asyncio.to_thread(self._process, key)
            self.decoded += 1
        finally:
            del self._running[key], self._began[key]

    def _process(self, key: str) -> None:
        path, limits = self.store.source(key), self.config.serve
        try:
            info, _ = probe(path)
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
            clip = self.specification.read(path, self.detector)[0]
        except VideoError as error:
            code = "no_face" if error.stage == "track" else "invalid_video"
            raise ApiError(400, f"The video cannot be used: {error.reason}.", "messages", code) from None
        self.store.write_clip(key, clip)
