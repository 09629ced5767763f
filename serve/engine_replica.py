"""The engine as a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from favchat.config import Config
from favchat.runtime.collector import collector_paused
from serve.chat import Chat, FrameEffects, Piece
from serve.replica_process import compute_behind_the_api


class EngineReplica:
    """An engine in a process of its own."""

    def __init__(self, config: Config) -> None:
        compute_behind_the_api()
        # Imported here: whoever deploys this, and the API, need no torch, which takes seconds to import.
        with collector_paused():
            from serve.engine import load_engine

        self.engine = load_engine(config)
        # In a thread: Ray Serve may make this in one that runs an event loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self.engine.warm_up()).result()

    async def generate(self, chat: Chat) -> AsyncIterator[Piece]:
        """Answer a chat, see :meth:`serve.engine.Engine.generate`."""
        async for piece in self.engine.generate(chat):
            yield piece

    async def frame_effects(self, chat: Chat, answer: str) -> FrameEffects:
        """What each frame does for an answer, see :func:`serve.frame_effects.frame_effects`."""
        from serve.frame_effects import frame_effects

        return await frame_effects(self.engine, chat, answer)

    async def context(self) -> int:
        """Tokens that a chat and its answer may have together."""
        return self.engine.context

    async def counters(self) -> dict[str, int]:
        """What this replica has done."""
        return dict(self.engine.counters)

    def check_health(self) -> None:
        """Let Ray Serve replace a replica whose generation thread has died."""
        self.engine.check()

    def __del__(self) -> None:
        if hasattr(self, "engine"):
            self.engine.close()
