"""Videos as requests name them: held in the store as long as they are used."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, BinaryIO, TypeVar

from serve.deployments import in_openai_s_words
from serve.errors import ApiError
from serve.metrics import Metrics
from serve.request_record import current
from serve.store import VideoStore
from serve.uploaded_files import StoredFile, no_file

DATA_ADDRESS = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w=.+-]+)*;base64,", re.ASCII)
Taken = TypeVar("Taken")


class Intake:
    """What comes in, and what is there already.

    Args:
        store: Where videos are kept.
        media: The media deployment that looks at new ones.
        metrics: Times those looks.
    """

    def __init__(self, store: VideoStore, media: Callable[[], Any], metrics: Metrics) -> None:
        self._store, self._media, self._metrics = store, media, metrics

    @asynccontextmanager
    async def at(self, address: str) -> AsyncIterator[str]:
        """The SHA-256 of the video at an address; the store holds it as long as the context lasts."""
        if address.startswith("data:"):
            source = io.BytesIO(await asyncio.to_thread(_decoded, address))
            del address  # a whole video, and this lasts as long as the answer
            async with self.taken_in(source, "messages") as key:
                source.close()
                yield key
        elif (file_id := address.removeprefix("file:")).startswith("file-"):
            async with self.named(file_id, "messages") as key:
                yield key
        else:
            raise ApiError(
                400,
                f"The video address '{address[:80]}' is not supported: this server fetches nothing from elsewhere. "
                "Send a data: address (data:video/mp4;base64,...) or upload the file to /v1/files and send "
                "file:FILE_ID.",
                "messages",
                "unsupported_video_url",
            )

    @asynccontextmanager
    async def taken_in(self, source: BinaryIO, param: str) -> AsyncIterator[str]:
        """The SHA-256 of new bytes, once they are seen to be a video; the store holds it as long as this lasts."""
        async with _in_threads(partial(self._store.receive, source), self._store.discard) as incoming:
            if not await asyncio.to_thread(self._store.source(incoming.key).exists):
                try:
                    with in_openai_s_words(), self._metrics.timed("check"):
                        await self._media().check.remote(incoming.path.name, incoming.key)
                except ApiError as error:
                    raise ApiError(error.status, error.message, param, error.code) from None
            async with _in_threads(partial(self._store.keep, incoming), self._store.give) as key:
                yield key

    @asynccontextmanager
    async def named(self, video_id: str, param: str | None = None) -> AsyncIterator[str]:
        """The SHA-256 of a video that the store has, and holds as long as the context lasts."""
        async with _in_threads(partial(self._video, video_id, param), self._store.give) as key:
            yield key

    def file(self, file_id: str, param: str | None = None) -> StoredFile:
        """An uploaded file; those of other keys are not to be seen."""
        stored = self._store.file(file_id, param)
        if not is_ours(stored):
            raise no_file(file_id, param)
        return stored

    def _video(self, video_id: str, param: str | None) -> str:
        """The SHA-256 of a video that is named by it or by a file's id, held."""
        if video_id.startswith("file-"):
            self.file(video_id, param)
        return self._store.video(video_id, param)


@asynccontextmanager
async def _in_threads(take: Callable[[], Taken], give: Callable[[Taken], None]) -> AsyncIterator[Taken]:
    """What `take` returns, given back at the end; both wait for the disk, in threads.

    Neither is left half done where the request is cancelled, as Ray Serve does when the client leaves.
    """
    taking = asyncio.ensure_future(asyncio.to_thread(take))
    try:
        yield await asyncio.shield(taking)
    finally:
        await asyncio.wait([taking])
        if taking.exception() is None:
            await asyncio.shield(asyncio.to_thread(give, taking.result()))


def _decoded(address: str) -> bytes:
    head = DATA_ADDRESS.match(address)
    try:
        if head is None:
            raise ValueError("it must begin like data:video/mp4;base64,")
        return base64.b64decode(address[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"The data: address cannot be read: {error}.", "messages", "invalid_data_url") from None


def is_ours(stored: StoredFile) -> bool:
    """Whether a file may be seen by who asks: with a key one sees its own, and those from before there were keys."""
    owner = current().owner
    return owner is None or stored.owner in (None, owner)
