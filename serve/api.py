"""The HTTP API: OpenAI's chat completions and files, and what is known of a video."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import io
import json
import os
import re
import time
from collections import Counter as Counts
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeVar, cast

from fastapi import FastAPI, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute
from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from favchat.config import Config
from serve.attributes_route import AttributesRoute
from serve.body_limit import BodyLimit, Traffic
from serve.chat import Chat, Piece
from serve.deadline import Deadline, until_deadline
from serve.deployments import in_openai_s_words
from serve.errors import RETRY_AFTER, ApiError, AsciiJSON, busy, error_response
from serve.guard import Guard
from serve.health import LIVE, READY, Part, Readiness
from serve.keys import KeyRing
from serve.metrics import CONTENT_TYPE, Metrics, Writing
from serve.notices import no_video, of_video
from serve.observe import Observer
from serve.openapi import CHAT_BODY, EVENTS, describe_api, errors, file_of, text_of
from serve.protocol import Answer, ChatCompletionRequest, usage
from serve.request_queue import Places
from serve.request_record import current
from serve.responses_route import ResponsesRoute
from serve.served_model import ServedModel, configs_of
from serve.store import CHUNK, StoredFile, no_file
from serve.track import describe
from serve.view import FACES, View, ordered
from serve.why_route import WhyRoute

PURPOSES = ("user_data", "vision", "assistants")
DATA_ADDRESS = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w=.+-]+)*;base64,", re.ASCII)
HEALTH_PATIENCE = 2.0
"""Seconds that a deployment has to tell its counters: whoever asks for health does not wait for long answers."""
EXPIRY = 60.0
"""Seconds between two looks for uploaded files whose time is over."""
MONTH = 30 * 24 * 3600
"""Seconds that ``expires_after`` may say, as with OpenAI."""
Taken = TypeVar("Taken")

STILL_OF_USE = ("face_not_found", "unsupported_parameter")
"""Codes of errors that are about the question, not about the video."""

LONGEST_NAME = 255
"""Letters of an uploaded file's name, as most file systems have it."""


class Api:
    """The application's front, a client of the other three deployments.

    Args:
        config: The whole configuration.
        media: Handle of the media deployment.
        encoder: Handle of the encoder deployment.
        engine: Handle of the engine deployment.
        further: Of each model of ``serve.models`` the same three.
    """

    def __init__(
        self,
        config: Config,
        media: DeploymentHandle,
        encoder: DeploymentHandle,
        engine: DeploymentHandle,
        further: dict[str, tuple[DeploymentHandle, DeploymentHandle, DeploymentHandle]] | None = None,
    ) -> None:
        handles = [(media, encoder, engine), *(further or {}).values()]
        found = [ServedModel(one, *parts) for one, parts in zip(configs_of(config), handles, strict=True)]
        self.served = {model.name: model for model in found}
        self.config, self.store = config, found[0].store
        self.started = int(time.time())
        self.abilities: dict[str, dict[str, Any]] = {}
        """Of each model the tokens that a chat and its answer may have together, and the parts that can be left out,
        once they were asked for."""
        self.traffic = Traffic()
        self.keys = KeyRing.of(config.serve)
        self.readiness = Readiness(self._parts, lambda: self.traffic.draining)
        self.metrics = Metrics(lambda: self.readiness.state() == "ok")
        places, queue = (
            config.serve.engine_replicas * config.serve.max_ongoing_requests,
            config.serve.max_queued_requests,
        )
        self.places = {name: Places(places, queue, self.metrics.waiting.labels(name).set) for name in self.served}
        self.counted: dict[str, dict[str, int]] = {}

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The ASGI application; Ray Serve calls this after the constructor."""
        app = FastAPI(
            title="FaVChat",
            docs_url=None,
            redoc_url=None,
            default_response_class=AsciiJSON,
            lifespan=self._lifespan,
        )
        app.state.api = self
        limits = self.config.serve
        # The last one is the first that sees a request.
        app.add_middleware(Deadline, seconds=limits.request_timeout)
        app.add_middleware(
            BodyLimit, max_bytes=round(limits.max_body_mb * 1e6), patience=limits.body_timeout, traffic=self.traffic
        )
        app.add_middleware(Guard, ring=self.keys, open_to_all=limits.auth == "off")
        if limits.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=limits.cors_origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["*"],
            )
        app.add_middleware(Observer, metrics=self.metrics)
        for kind in (ApiError, RequestValidationError, HTTPException, Exception):
            app.add_exception_handler(kind, _on_error)
        app.post(
            "/v1/chat/completions",
            response_model=None,
            responses={
                200: {"description": "The answer; with `stream`, server-sent events.", "content": EVENTS},
                **errors(404),
            },
            openapi_extra={"requestBody": CHAT_BODY},
        )(self.chat_completions)
        ResponsesRoute(self._check, self._answer, _api_error).add_to(app)
        # What is no coroutine runs in a thread: it may wait for the disk, or for another process with the store's lock.
        app.get("/v1/models", responses=errors())(self.models)
        app.get("/v1/models/{model}", responses=errors(404))(self.model)
        app.post("/v1/files", responses=errors())(self.upload)
        app.get("/v1/files", responses=errors())(self.files)
        app.get("/v1/files/{file_id}", responses=errors(404))(self.file)
        app.get(
            "/v1/files/{file_id}/content",
            response_class=Response,
            responses={**file_of("application/octet-stream"), **errors(404)},
        )(self.file_content)
        app.delete("/v1/files/{file_id}", responses=errors(404))(self.delete_file)
        app.get("/v1/videos/{video_id}", responses=errors(404))(self.video)
        app.get(
            "/v1/videos/{video_id}/preview",
            response_class=Response,
            responses={**file_of("video/mp4"), **errors(404)},
        )(self.preview)
        about_videos = (lambda name: self._model(name or limits.name)), self._named, self._prepare
        AttributesRoute(*about_videos).add_to(app)
        WhyRoute(*about_videos, self.places, self.metrics).add_to(app)
        app.get("/healthz", responses=errors())(self.health)
        app.get("/metrics", response_class=Response, responses={**text_of(CONTENT_TYPE), **errors()})(self.tell_metrics)
        app.get(LIVE, responses=errors())(self.live)
        app.get(READY, responses=errors())(self.ready)
        app.openapi = partial(describe_api, app, [*self.served])  # type: ignore[method-assign]  # FastAPI's way to change it
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """What goes on beside the requests."""
        tasks = [asyncio.create_task(self.readiness.watch()), asyncio.create_task(self._expire())]
        yield
        for task in tasks:
            task.cancel()

    def _parts(self) -> list[Part]:
        return [part for model in self.served.values() for part in model.parts()]

    async def _expire(self) -> None:
        while True:
            await asyncio.to_thread(self.store.expire)
            await asyncio.sleep(EXPIRY)

    async def live(self) -> dict[str, str]:
        """Whether this process lives; waits for nothing."""
        return {"status": "ok"}

    async def ready(self) -> Response:
        """Whether requests should come: 503 while a part starts, warms up or restarts, and while the server ends."""
        state = self.readiness.state()
        answer = {"status": state, "missing": self.readiness.missing()}
        if state == "ok":
            return AsciiJSON(answer)
        return AsciiJSON(answer, 503, {"Retry-After": str(RETRY_AFTER)})

    def tell_metrics(self) -> Response:
        """The metrics, for Prometheus."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    @property
    def first(self) -> ServedModel:
        """The model of ``serve.model``, which also does what is no model's own work."""
        return self.served[self.config.serve.name]

    async def take_up(
        self, config: Config, media: DeploymentHandle, encoder: DeploymentHandle, engine: DeploymentHandle
    ) -> None:
        """Let another model answer under the name of one that is served.

        Args:
            config: Its configuration, see :func:`serve.served_model.configs_of`.
            media: Handle of its media deployment, which is up; so are the others.
            encoder: Handle of its encoder deployment.
            engine: Handle of its engine deployment.
        """
        self.served[config.serve.name] = ServedModel(config, media, encoder, engine)
        self.abilities.pop(config.serve.name, None)

    async def drain(self, seconds: float) -> None:
        """Answer 503 from now on, and wait at most `seconds` for the requests under way."""
        await self.traffic.drain(seconds)

    async def chat_completions(self, request: Request) -> dict[str, Any] | StreamingResponse:
        """Answer a chat about videos, in one piece or streamed."""
        body = await asyncio.to_thread(self._read, await request.body())
        answer = Answer(body.model)
        pieces = self._answer(body, answer)
        # What is refused is refused here, before a streamed response has begun.
        await anext(pieces)
        if body.stream:
            with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
            return StreamingResponse(_events(answer, pieces, body.n or 1, with_usage), media_type="text/event-stream")
        parts: list[list[Piece]] = [[] for _ in range(body.n or 1)]
        async with aclosing(pieces):
            async for piece in pieces:
                parts[piece.index].append(piece)
        return answer.whole(parts)

    async def models(self) -> dict[str, Any]:
        """The models."""
        return {"object": "list", "data": [await self.model(name) for name in self.served]}

    async def model(self, model: str) -> dict[str, Any]:
        """One model."""
        served = self._model(model)
        if model not in self.abilities:
            with in_openai_s_words():
                context, parts = await served.engine.context.remote(), await served.encoder.removable.remote()
            self.abilities[model] = {"max_model_len": context, "without": parts}
        created = await asyncio.to_thread(_born, served.config.serve.model or "") or self.started
        about = {"created": created, "owned_by": "favchat", **self.abilities[model]}
        return {"id": model, "object": "model", **about}

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
        async with self._taken_in(file.file, "file") as key:
            with in_openai_s_words():
                playable = await self.first.media.playable.remote(key)
            holder = current().key
            lifetimes = [life for life in (seconds, self.config.serve.upload_lifetime) if life is not None]
            stored = await asyncio.to_thread(
                self.store.add_file,
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
        found = [_file_object(stored) for stored in self.store.files() if _is_ours(stored)]
        return {"object": "list", "data": found, "has_more": False}

    def file(self, file_id: str) -> dict[str, Any]:
        """One uploaded file."""
        return _file_object(self._file(file_id))

    def file_content(self, file_id: str) -> StreamingResponse:
        """The bytes of an uploaded file."""
        return _send(self.store.source(self._file(file_id).video), "application/octet-stream")

    def delete_file(self, file_id: str) -> dict[str, Any]:
        """Forget an uploaded file and what was made of it."""
        self.store.delete_file(self._file(file_id).id)
        return {"id": file_id, "object": "file", "deleted": True}

    async def video(
        self, video_id: str, model: str | None = None, face: Annotated[int, Query(ge=0, lt=FACES)] = 0
    ) -> dict[str, Any]:
        """The faces of a video, the track of one of them, and which experts its tokens went to.

        Decodes and encodes it where needed.
        """
        served = self._model(model or self.config.serve.name)
        async with self._named(video_id) as key:
            view = View(key, face)
            await self._prepare(view, served)
            return await asyncio.to_thread(describe, served.store, view)

    async def preview(self, video_id: str) -> StreamingResponse:
        """The beginning of a video as browsers can play it."""
        served = self.first
        async with self._named(video_id) as key:
            with in_openai_s_words(), self.metrics.timed("preview"):
                await served.media.preview.remote(key)
            return await asyncio.to_thread(_send, served.store.preview(key), "video/mp4")

    async def health(self) -> dict[str, Any]:
        """Whether all deployments are there, and what they have done."""
        parts = {handle.deployment_name: handle for one in self.served.values() for handle in one.handles().values()}
        answered = await asyncio.gather(*(self._count(name, part) for name, part in parts.items()))
        busy_parts = [name for name, answers in zip(parts, answered, strict=True) if not answers]
        counters: Counts[str] = Counts()
        for part in parts:
            counters.update(self.counted.get(part, {}))
        model = self.config.serve.name
        return {
            "status": "ok",
            "model": model,
            "models": [*self.served],
            "counters": dict(counters),
            "busy": busy_parts,
        }

    async def _count(self, name: str, part: DeploymentHandle) -> bool:
        """Note the counters of a deployment; false where its requests leave it no time to tell them."""
        with in_openai_s_words():
            try:
                self.counted[name] = await asyncio.wait_for(_awaited(part.counters.remote()), HEALTH_PATIENCE)
            except (TimeoutError, BackPressureError):
                return False
        return True

    def _model(self, name: str) -> ServedModel:
        if name not in self.served:
            there = ", ".join(f"'{other}'" for other in self.served)
            raise ApiError(
                404, f"The model '{name[:80]}' does not exist; this server has {there}.", "model", "model_not_found"
            )
        return self.served[name]

    def _file(self, file_id: str, param: str | None = None) -> StoredFile:
        """An uploaded file; those of other keys are not to be seen."""
        stored = self.store.file(file_id, param)
        if not _is_ours(stored):
            raise no_file(file_id, param)
        return stored

    def _video(self, video_id: str, param: str | None) -> str:
        """The SHA-256 of a video that is named by it or by a file's id, held."""
        if video_id.startswith("file-"):
            self._file(video_id, param)
        return self.store.video(video_id, param)

    def _read(self, body: bytes) -> ChatCompletionRequest:
        request = ChatCompletionRequest.parse(body)
        self._check(request)
        return request

    def _check(self, request: ChatCompletionRequest) -> None:
        self._model(request.model)
        request.check(self.config.serve)

    @asynccontextmanager
    async def _at(self, address: str) -> AsyncIterator[str]:
        """The SHA-256 of the video at an address; the store holds it as long as the context lasts."""
        file_id = address.removeprefix("file:")
        if address.startswith("data:"):
            data = await asyncio.to_thread(_decoded, address)
            async with self._taken_in(io.BytesIO(data), "messages") as key:
                yield key
        elif file_id.startswith("file-"):
            async with self._named(file_id, "messages") as key:
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
    async def _taken_in(self, source: BinaryIO, param: str) -> AsyncIterator[str]:
        """The SHA-256 of new bytes, once they are seen to be a video; the store holds it as long as this lasts."""
        async with _in_threads(partial(self.store.receive, source), self.store.discard) as incoming:
            if not await asyncio.to_thread(self.store.source(incoming.key).exists):
                try:
                    with in_openai_s_words(), self.metrics.timed("check"):
                        await self.first.media.check.remote(incoming.path.name)
                except ApiError as error:
                    raise ApiError(error.status, error.message, param, error.code) from None
            async with _in_threads(partial(self.store.keep, incoming), self.store.give) as key:
                yield key

    @asynccontextmanager
    async def _named(self, video_id: str, param: str | None = None) -> AsyncIterator[str]:
        """The SHA-256 of a video that the store has, and holds as long as the context lasts."""
        async with _in_threads(partial(self._video, video_id, param), self.store.give) as key:
            yield key

    async def _prepare(self, view: View, served: ServedModel) -> None:
        """See that a view of a video is decoded and encoded for a model."""
        found = await asyncio.to_thread(served.store.features(view).exists)
        self.metrics.clips.labels("yes" if found else "no").inc()
        if found:
            return
        try:
            with in_openai_s_words():
                with self.metrics.timed("decode"):
                    await served.media.prepare.remote(view.key, view.face)
                with self.metrics.timed("encode"):
                    size = await served.encoder.encode.remote(view)
                if size:
                    self.metrics.encoder_batch.observe(size)
        except ApiError as error:
            if error.status == 400 and error.code not in STILL_OF_USE:  # so it need not take a place
                await asyncio.to_thread(self.store.reject, view.key)
            raise

    async def _answer(self, body: ChatCompletionRequest, answer: Answer) -> AsyncGenerator[Piece]:
        """The answer's pieces, the first one empty; leaving early cancels the request."""
        shown = body.shown()
        if not shown:
            # The model would tell of a person whom it has not seen.
            notice = no_video()
            answer.notices.append(notice)
            yield Piece("", 0, 0)
            for index in range(body.n or 1):
                yield Piece(notice["message"], 0, 0, "stop", index)
            return
        served = self._model(body.model)
        async with AsyncExitStack() as stack:
            addresses = dict.fromkeys(body.addresses())
            keys = {address: await stack.enter_async_context(self._at(address)) for address in addresses}
            without = ordered(body.without or [])
            views = [View(keys[one.address], one.face, without) for one in shown]
            videos = list(dict.fromkeys(views))
            # All come to an end before one that failed gives its videos back.
            for outcome in await asyncio.gather(
                *(self._prepare(view, served) for view in videos), return_exceptions=True
            ):
                if isinstance(outcome, BaseException):
                    raise outcome
            for number, view in enumerate(videos, 1):
                facts = await asyncio.to_thread(served.store.told, view.key, "facts")
                answer.notices += of_video(facts, number, view.face)
            chat = body.chat(views)
            async with aclosing(self._written(chat, served)) as pieces:
                async for piece in pieces:
                    answer.notices += piece.notices
                    yield piece

    async def _written(self, chat: Chat, served: ServedModel) -> AsyncGenerator[Piece]:
        asked = time.monotonic()
        async with self.places[served.name].place(current().owner):
            self.metrics.waited.observe(time.monotonic() - asked)
            async with aclosing(self._generated(chat, served)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _generated(self, chat: Chat, served: ServedModel) -> AsyncGenerator[Piece]:
        with in_openai_s_words():
            response = cast(DeploymentResponseGenerator[Any], served.answers.generate.remote(chat))
            writing = Writing(self.metrics, served.name)
            try:
                async for piece in response:
                    writing.see(piece)
                    yield piece
            finally:
                writing.close()
                response.cancel()


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


async def _awaited(response: Awaitable[Taken]) -> Taken:
    """A coroutine, which is what can be given up; Ray's responses are awaitable and no more."""
    return await response


def _decoded(address: str) -> bytes:
    head = DATA_ADDRESS.match(address)
    try:
        if head is None:
            raise ValueError("it must begin like data:video/mp4;base64,")
        return base64.b64decode(address[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"The data: address cannot be read: {error}.", "messages", "invalid_data_url") from None


def _born(model: str) -> int:
    """When a model's files were written, seconds since 1970; 0 of a hub's, whose are not known."""
    config = Path(model) / "config.json"
    return int(config.stat().st_mtime) if config.is_file() else 0


def _send(path: Path, media_type: str) -> StreamingResponse:
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


async def _events(answer: Answer, pieces: AsyncGenerator[Piece], count: int, with_usage: bool) -> AsyncIterator[str]:
    """Server-sent events of streamed answers."""
    for index in range(count):
        yield _event(answer.chunk({"role": "assistant", "content": ""}, index))
    last: dict[int, Piece] = {}
    try:
        async with aclosing(pieces):
            async for piece in until_deadline(pieces):
                last[piece.index] = piece
                if piece.text or piece.logprobs:
                    yield _event(answer.chunk({"content": piece.text}, piece.index, piece))
                if piece.finish_reason:
                    yield _event(answer.chunk({}, piece.index, replace(piece, text="", logprobs=[])))
        if with_usage:
            yield _event(answer.usage_chunk(usage([*last.values()])))
    except Exception as error:  # the status line is gone: the error is an event
        fault = _api_error(error)
        current().code = fault.code
        yield _event(fault.body())
        return
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _file_object(stored: StoredFile) -> dict[str, Any]:
    told = {name: value for name, value in asdict(stored).items() if name != "owner"}
    return {**told, "object": "file", "status": "processed"}


def _is_ours(stored: StoredFile) -> bool:
    """Whether a file may be seen by who asks: with a key one sees its own, and those from before there were keys."""
    owner = current().owner
    return owner is None or stored.owner in (None, owner)


def _api_error(error: Exception) -> ApiError:
    """Bring any error to OpenAI's shape."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause  # Ray's own looks like it and has lost its numbers
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"][1:])
        return ApiError(400, f"{place or 'body'}: {fault['msg']}", place or None, "invalid_request")
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail))
    if isinstance(error, ClientDisconnect):
        return ApiError(400, "The client left before its request had come.", code="invalid_request")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return busy("The server's disk is full. Try again later.")
    return ApiError(500, f"The server failed: {type(error).__name__}.", code="internal_error")


async def _on_error(request: Request, error: Exception) -> Response:
    answer = _api_error(error)
    return error_response(answer, {"Allow": ", ".join(_methods(request))} if answer.status == 405 else None)


def _methods(request: Request) -> list[str]:
    """The methods that a request's path takes; Starlette names those of one of its routes alone."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    fitting = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    return sorted({method for route in fitting for method in route.methods or ()})
