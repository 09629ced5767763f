"""``GET /v1/videos/{id}`` and its preview: what is known of a video, and how browsers can play it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import Response, StreamingResponse

from serve.deployments import in_openai_s_words
from serve.face_track import describe
from serve.files_route import send_file
from serve.intake import Intake
from serve.metrics import Metrics
from serve.openapi import errors, file_of
from serve.served_model import ServedModel
from serve.view import FACES, View


class VideosRoute:
    """The routes.

    Args:
        models: The model of a name; null: the first.
        intake: Holds videos.
        prepare: Sees that a view of a video is decoded and encoded for a model.
        metrics: Times the previews.
    """

    def __init__(
        self,
        models: Callable[[str | None], ServedModel],
        intake: Intake,
        prepare: Callable[[View, ServedModel], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._models, self._intake, self._prepare, self._metrics = models, intake, prepare, metrics

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.get("/v1/videos/{video_id}", responses=errors(404))(self.video)
        app.get(
            "/v1/videos/{video_id}/preview",
            response_class=Response,
            responses={**file_of("video/mp4"), **errors(404)},
        )(self.preview)

    async def video(
        self, video_id: str, model: str | None = None, face: Annotated[int, Query(ge=0, lt=FACES)] = 0
    ) -> dict[str, Any]:
        """The faces of a video, the track of one of them, and which experts its tokens went to.

        Decodes and encodes it where needed.
        """
        served = self._models(model)
        async with self._intake.named(video_id) as key:
            view = View(key, face)
            await self._prepare(view, served)
            return await asyncio.to_thread(describe, served.store, view)

    async def preview(self, video_id: str) -> StreamingResponse:
        """The beginning of a video as browsers can play it."""
        served = self._models(None)
        async with self._intake.named(video_id) as key:
            with in_openai_s_words(), self._metrics.timed("preview"):
                await served.media.preview.remote(key)
            return await asyncio.to_thread(send_file, served.store.derived.preview(key), "video/mp4")
