"""``/v1/files``: uploads, in the words of OpenAI's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import FastAPI, File, Form, UploadFile
from fastapi.responses import Response, StreamingResponse

from serve.deployments import in_openai_s_words
from serve.errors import ApiError
from serve.intake import Intake, is_ours
from serve.openapi import errors, file_of
from serve.request_record import current
from serve.store import CHUNK, VideoStore
from serve.uploaded_files import StoredFile

PURPOSES = ("user_data", "vision", "assistants")
MONTH = 30 * 24 * 3600
"""Seconds that ``expires_after`` may say, as with OpenAI."""
LONGEST_NAME = 255
"""Letters of an uploaded file's name, as most file systems have it."""


class FilesRoute:
    """The routes.

    Args:
        intake: Takes videos in.
        store: Where they are kept.
        media: The media deployment that says whether browsers play them.
        lifetime: Seconds after which an upload is deleted; None: never.
    """

    def __init__(self, intake: Intake, store: VideoStore, media: Callable[[], Any], lifetime: float | None) -> None:
        self._intake, self._store, self._media, self._lifetime = intake, store, media, lifetime

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        # What is no coroutine runs in a thread: it may wait for the disk, or for another process with the store's lock.
        app.post("/v1/files", responses=errors())(self.upload)
        app.get("/v1/files", responses=errors())(self.files)
        app.get("/v1/files/{file_id}", responses=errors(404))(self.file)
        app.get(
            "/v1/files/{file_id}/content",
            response_class=Response,
            responses={**file_of("application/octet-stream"), **errors(404)},
        )(self.file_content)
        app.delete("/v1/files/{file_id}", responses=errors(404))(self.delete_file)

    async def upload(
        self,
        file: Annotated[UploadFile, File()],
        purpose: Annotated[str, Form()] = "user_data",
        anchor: Annotated[Literal["created_at"], Form(alias="expires_after[anchor]")] = "created_at",
        seconds: Annotated[int | None, Form(alias="expires_after[seconds]", ge=1, le=MONTH)] = None,
    ) -> dict[str, Any]:
        """Take a video in, to be named by its id in chats."""
        if purpose not in PURPOSES:
            raise ApiError(400, f"purpose = '{purpose[:80]}': there are {', '.join(PURPOSES)}.", "purpose")
        name = file.filename or "video"
        if len(name) > LONGEST_NAME:
            raise ApiError(400, f"The file's name has {len(name)} letters; the limit is {LONGEST_NAME}.", "file")
        async with self._intake.taken_in(file.file, "file") as key:
            with in_openai_s_words():
                playable = await self._media().playable.remote(key)
            holder = current().key
            lifetimes = [life for life in (seconds, self._lifetime) if life is not None]
            stored = await asyncio.to_thread(
                self._store.add_file,
                key,
                name,
                purpose,
                playable=playable,
                owner=holder.name if holder else None,
                most=holder.max_uploads if holder else None,
                lifetime=min(lifetimes, default=None),
            )
            return _file_object(stored)

    def files(self) -> dict[str, Any]:
        """All uploaded files of the key that asks."""
        found = [_file_object(stored) for stored in self._store.files() if is_ours(stored)]
        return {"object": "list", "data": found, "has_more": False}

    def file(self, file_id: str) -> dict[str, Any]:
        """One uploaded file."""
        return _file_object(self._intake.file(file_id))

    def file_content(self, file_id: str) -> StreamingResponse:
        """The bytes of an uploaded file."""
        return send_file(self._store.source(self._intake.file(file_id).video), "application/octet-stream")

    def delete_file(self, file_id: str) -> dict[str, Any]:
        """Forget an uploaded file and what was made of it."""
        self._store.delete_file(self._intake.file(file_id).id)
        return {"id": file_id, "object": "file", "deleted": True}


def send_file(path: Path, media_type: str) -> StreamingResponse:
    """A file of the store. It is opened here, so that it comes whole even if it is deleted meanwhile."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ApiError(404, "The file was deleted.", code="file_not_found") from None
    size = os.fstat(file.fileno()).st_size
    return StreamingResponse(_parts(file), media_type=media_type, headers={"Content-Length": str(size)})


def _parts(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while part := file.read(CHUNK):
            yield part


def _file_object(stored: StoredFile) -> dict[str, Any]:
    told = {name: value for name, value in asdict(stored).items() if name != "owner"}
    return {**told, "object": "file", "status": "processed"}
