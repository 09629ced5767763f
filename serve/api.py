"""The HTTP API: OpenAI's chat completions and files, and what is known of a video."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from typing import Annotated, Any, cast

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator
from starlette.exceptions import HTTPException

from favchat.config import Config
from serve.chat import Chat
from serve.errors import ApiError, busy
from serve.limits import BodyLimit
from serve.protocol import Answer, ChatCompletionRequest, usage
from serve.store import StoredFile, VideoStore
from serve.track import describe

PURPOSES = ("user_data", "vision", "assistants")
DATA_ADDRESS = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w=.+-]+)*;base64,", re.ASCII)


class Api:
    """The application's front, a client of the other three deployments.

    Args:
        config: The whole configuration.
        media: Handle of the media deployment.
        encoder: Handle of the encoder deployment.
        engine: Handle of the engine deployment.
    """

    def __init__(
        self, config: Config, media: DeploymentHandle, encoder: DeploymentHandle, engine: DeploymentHandle
    ) -> None:
        self.config, self.store = config, VideoStore.of(config)
        self.media, self.encoder, self.engine = media, encoder, engine
        self.answers = engine.options(stream=True)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The ASGI application; Ray Serve calls this after the constructor."""
        app = FastAPI(title="FaVChat", docs_url=None, redoc_url=None)
        app.add_middleware(BodyLimit, max_bytes=round(self.config.serve.max_body_mb * 1e6))
        for kind in (ApiError, RequestValidationError, HTTPException, Exception):
            app.add_exception_handler(kind, _on_error)
        app.post("/v1/chat/completions", response_model=None)(self.chat_completions)
        app.get("/v1/models")(self.models)
        app.get("/v1/models/{model}")(self.model)
        app.post("/v1/files")(self.upload)
        app.get("/v1/files")(self.files)
        app.get("/v1/files/{file_id}")(self.file)
        app.get("/v1/files/{file_id}/content", response_model=None)(self.file_content)
        app.delete("/v1/files/{file_id}")(self.delete_file)
        app.get("/v1/videos/{video_id}")(self.video)
        app.get("/healthz")(self.health)
        return app

    async def chat_completions(self, body: ChatCompletionRequest) -> dict[str, Any] | StreamingResponse:
        """Answer a chat about videos, in one piece or streamed."""
        self._check_model(body.model)
        body.check()
        videos = [await self._resolve(address) for address in body.addresses()]
        await asyncio.gather(*(self._prepare(key) for key in dict.fromkeys(videos)))
        pieces = self._answer(body.chat(videos))
        # What is refused is refused here, before a streamed response has begun.
        first = await anext(pieces)
        answer = Answer(self.config.serve.name)
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return StreamingResponse(_events(answer, pieces, with_usage), media_type="text/event-stream")
        text, last = [], first
        async with aclosing(pieces):
            async for last in pieces:
                text.append(last.text)
        return answer.whole("".join(text), last.finish_reason, usage(last.prompt_tokens, last.completion_tokens))

    async def models(self) -> dict[str, Any]:
        """The one model."""
        return {"object": "list", "data": [await self.model(self.config.serve.name)]}

    async def model(self, model: str) -> dict[str, Any]:
        """One model."""
        self._check_model(model)
        return {"id": model, "object": "model", "created": 0, "owned_by": "favchat"}

    async def upload(
        self, file: Annotated[UploadFile, File()], purpose: Annotated[str, Form()] = "user_data"
    ) -> dict[str, Any]:
        """Take a video in, to be named by its id in chats."""
        if purpose not in PURPOSES:
            raise ApiError(400, f"purpose = '{purpose}': there are {', '.join(PURPOSES)}.", "purpose")
        if not file.size:
            raise ApiError(400, "The file is empty.", "file", "invalid_video")
        stored = await asyncio.to_thread(self.store.add_file, file.file, file.filename or "video", purpose)
        return _file_object(stored)

    async def files(self) -> dict[str, Any]:
        """All uploaded files."""
        return {"object": "list", "data": [_file_object(stored) for stored in self.store.files()], "has_more": False}

    async def file(self, file_id: str) -> dict[str, Any]:
        """One uploaded file."""
        return _file_object(self.store.file(file_id))

    async def file_content(self, file_id: str) -> FileResponse:
        """The bytes of an uploaded file."""
        stored = self.store.file(file_id)
        return FileResponse(self.store.source(stored.video), media_type="application/octet-stream")

    async def delete_file(self, file_id: str) -> dict[str, Any]:
        """Forget an uploaded file and what was made of it."""
        self.store.delete_file(file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    async def video(self, video_id: str) -> dict[str, Any]:
        """The face track of a video and which experts its tokens went to; decodes and encodes it where needed."""
        key = self.store.video(video_id)
        await self._prepare(key)
        return await asyncio.to_thread(describe, self.store, key)

    async def health(self) -> dict[str, Any]:
        """Whether all deployments answer, and what they have done."""
        with _in_openai_s_words():
            counted = await asyncio.gather(
                *(handle.counters.remote() for handle in (self.media, self.encoder, self.engine))
            )
        counters = {name: count for part in counted for name, count in part.items()}
        return {"status": "ok", "model": self.config.serve.name, "counters": counters}

    def _check_model(self, name: str) -> None:
        if name != self.config.serve.name:
            raise ApiError(
                404,
                f"The model '{name}' does not exist; this server has '{self.config.serve.name}'.",
                "model",
                "model_not_found",
            )

    async def _resolve(self, address: str) -> str:
        """The SHA-256 of the video at an address, its bytes in the store."""
        if address.startswith("data:"):
            return await asyncio.to_thread(self._take, address)
        file_id = address.removeprefix("file:")
        if file_id.startswith("file-"):
            key = self.store.file(file_id, "messages").video
            self.store.touch(key)
            return key
        raise ApiError(
            400,
            f"The video address '{address[:80]}' is not supported: this server fetches nothing from elsewhere. "
            "Send a data: address (data:video/mp4;base64,...) or upload the file to /v1/files and send file:FILE_ID.",
            "messages",
            "unsupported_video_url",
        )

    def _take(self, address: str) -> str:
        head = DATA_ADDRESS.match(address)
        try:
            if head is None:
                raise ValueError("it must begin like data:video/mp4;base64,")
            data = base64.b64decode(address[head.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ApiError(400, f"The data: address cannot be read: {error}.", "messages", "invalid_data_url") from None
        return self.store.add(io.BytesIO(data))

    async def _prepare(self, key: str) -> None:
        """See that a video is decoded and encoded."""
        if not self.store.features(key).exists():
            with _in_openai_s_words():
                await self.media.prepare.remote(key)
                await self.encoder.encode.remote(key)

    async def _answer(self, chat: Chat) -> AsyncGenerator[Any]:
        """The engine's pieces; leaving early cancels the request."""
        with _in_openai_s_words():
            response = cast(DeploymentResponseGenerator[Any], self.answers.generate.remote(chat))
            try:
                async for piece in response:
                    yield piece
            finally:
                response.cancel()


async def _events(answer: Answer, pieces: AsyncGenerator[Any], with_usage: bool) -> AsyncIterator[str]:
    """Server-sent events of a streamed answer."""
    yield _event(answer.chunk({"role": "assistant", "content": ""}))
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if piece.text:
                    yield _event(answer.chunk({"content": piece.text}))
                if piece.finish_reason:
                    yield _event(answer.chunk({}, piece.finish_reason))
                    if with_usage:
                        yield _event(answer.usage_chunk(usage(piece.prompt_tokens, piece.completion_tokens)))
    except Exception as error:  # the status line is gone: the error is an event
        yield _event(_api_error(error).body())
        return
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _file_object(stored: StoredFile) -> dict[str, Any]:
    return {**asdict(stored), "object": "file", "status": "processed"}


@contextmanager
def _in_openai_s_words() -> Iterator[None]:
    """Say in OpenAI's words that a deployment is overloaded or being replaced.

    Not left to the application's error handlers: Ray Serve puts its own, in plain text, in their place.
    """
    try:
        yield
    except BackPressureError:
        raise busy("Too many requests are waiting. Try again in a moment.") from None
    except (DeploymentUnavailableError, RayActorError):
        raise busy("A part of the server is being restarted. Try again in a moment.") from None


def _api_error(error: Exception) -> ApiError:
    """Bring any error to OpenAI's shape."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"][1:])
        return ApiError(400, f"{place or 'body'}: {fault['msg']}", place or None, "invalid_request")
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail))
    return ApiError(500, f"The server failed: {type(error).__name__}.", code="internal_error")


async def _on_error(_: Request, error: Exception) -> JSONResponse:
    answer = _api_error(error)
    return JSONResponse(answer.body(), answer.status, {"Retry-After": "2"} if answer.status == 503 else None)
