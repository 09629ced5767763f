"""The HTTP API: OpenAI's chat completions and files, and what is known of a video."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Counts
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from fastapi import FastAPI
from fastapi.responses import Response
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator
from starlette.middleware.cors import CORSMiddleware

from favchat.config import Config
from serve.access import Guard
from serve.attributes_route import AttributesRoute
from serve.body_limit import BodyLimit, Traffic
from serve.chat import Chat, Piece
from serve.chat_route import ChatRoute
from serve.deadline import Deadline
from serve.deployments import in_openai_s_words
from serve.error_handler import handle_errors
from serve.errors import RETRY_AFTER, ApiError, AsciiJSON
from serve.files_route import FilesRoute
from serve.health import LIVE, READY, Part, Readiness
from serve.intake import Intake
from serve.keys import KeyRing
from serve.metrics import CONTENT_TYPE, Metrics, Writing
from serve.notices import no_video, of_video
from serve.observe import Observer
from serve.openapi import describe_api, errors, text_of
from serve.protocol import Answer, ChatCompletionRequest
from serve.replica_process import answer_without_pauses
from serve.request_queue import Places
from serve.request_record import current
from serve.responses_route import ResponsesRoute
from serve.served_model import ServedModel, configs_of
from serve.videos_route import VideosRoute
from serve.view import View, ordered
from serve.why_route import WhyRoute

HEALTH_PATIENCE = 2.0
"""Seconds that a deployment has to tell its counters: whoever asks for health does not wait for long answers."""
EXPIRY = 60.0
"""Seconds between two looks for uploaded files whose time is over."""
Taken = TypeVar("Taken")

STILL_OF_USE = ("face_not_found", "unsupported_parameter")
"""Codes of errors that are about the question, not about the video."""


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
        self.intake = Intake(self.store, self._media, self.metrics)
        self.places = {name: Places(places, queue, self.metrics.waiting.labels(name).set) for name in self.served}
        self.counted: dict[str, dict[str, int]] = {}
        answer_without_pauses()

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
        handle_errors(app)
        models, prepare = (lambda name: self._model(name or limits.name)), self._prepare
        ChatRoute(self._check, self._answer).add_to(app)
        ResponsesRoute(self._check, self._answer).add_to(app)
        app.get("/v1/models", responses=errors())(self.models)
        app.get("/v1/models/{model}", responses=errors(404))(self.model)
        FilesRoute(self.intake, self.store, self._media, limits.upload_lifetime).add_to(app)
        VideosRoute(models, self.intake, prepare, self.metrics).add_to(app)
        AttributesRoute(models, self.intake, prepare).add_to(app)
        WhyRoute(models, self.intake, prepare, self.places, self.metrics).add_to(app)
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

    def _media(self) -> Any:
        """The media deployment that does what is no model's own work: that of ``serve.model``."""
        return self.served[self.config.serve.name].media

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

    def _check(self, request: ChatCompletionRequest) -> None:
        self._model(request.model)
        request.check(self.config.serve)

    async def _prepare(self, view: View, served: ServedModel) -> None:
        """See that a view of a video is decoded and encoded for a model."""
        found = await asyncio.to_thread(served.store.derived.features(view).exists)
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
        if not body.shown():
            # The model would tell of a person whom it has not seen.
            notice = no_video()
            answer.notices.append(notice)
            yield Piece("", 0, 0)
            for index in range(body.n or 1):
                yield Piece(notice["message"], 0, 0, "stop", index)
            return
        served = self._model(body.model)
        async with AsyncExitStack() as stack:
            views = await self._taken_in(body, stack)
            videos = list(dict.fromkeys(views))
            # All come to an end before one that failed gives its videos back.
            for outcome in await asyncio.gather(
                *(self._prepare(view, served) for view in videos), return_exceptions=True
            ):
                if isinstance(outcome, BaseException):
                    raise outcome
            for number, view in enumerate(videos, 1):
                facts = await asyncio.to_thread(served.store.derived.told, view.key, "facts")
                answer.notices += of_video(facts, number, view.face)
            chat = body.chat(views)
            async with aclosing(self._written(chat, served)) as pieces:
                async for piece in pieces:
                    answer.notices += piece.notices
                    yield piece

    async def _taken_in(self, body: ChatCompletionRequest, stack: AsyncExitStack) -> list[View]:
        """What a chat shows, held until the stack is closed; nothing of the request holds the videos any longer."""
        shown = body.shown()
        addresses = dict.fromkeys(one.address for one in shown)
        keys = {address: await stack.enter_async_context(self.intake.at(address)) for address in addresses}
        body.forget_addresses()
        without = ordered(body.without or [])
        return [View(keys[one.address], one.face, without) for one in shown]

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


async def _awaited(response: Awaitable[Taken]) -> Taken:
    """A coroutine, which is what can be given up; Ray's responses are awaitable and no more."""
    return await response


def _born(model: str) -> int:
    """When a model's files were written, seconds since 1970; 0 of a hub's, whose are not known."""
    config = Path(model) / "config.json"
    return int(config.stat().st_mtime) if config.is_file() else 0
