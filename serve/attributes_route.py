"""``POST /v1/videos/{id}/attributes``: what the model and the track tell of a face in numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

from fastapi import Body, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from favchat.face_scores.report import FaceReport, Scorer, face_report
from favchat.hub.fingerprint import model_fingerprint
from serve.deployments import in_openai_s_words
from serve.errors import ApiError
from serve.intake import Intake
from serve.notices import of_video
from serve.openapi import errors
from serve.served_model import ServedModel
from serve.store import VideoStore
from serve.view import FACES, Part, View, ordered

CSV = "text/csv"
SHORTEST = 0.25
"""Seconds of the shortest window: two frames, so that there is motion."""


class AttributesRequest(BaseModel):
    """What to tell; all of it may be left out."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    window_s: float | None = Field(default=None, ge=0, description="Seconds of a window; null: 2, or more; 0: none.")
    stride_s: float | None = Field(default=None, ge=SHORTEST, description="Seconds between two windows' begins.")
    face: int = Field(default=0, ge=0, lt=FACES, description="Which face: 0 the main one.")
    model: str | None = Field(default=None, description="Which model scores; null: the first.")
    without: Annotated[list[Part], Field(max_length=2)] | None = Field(
        default=None, description="Parts of the model to leave out."
    )

    def view(self, key: str) -> View:
        """The view of a video that is asked about."""
        return View(key, self.face, ordered(self.without or []))


class AttributesRoute:
    """The route, a client of the media and the encoder deployment: no language model is asked.

    Args:
        models: The model of a name; null: the first.
        intake: Holds videos.
        prepare: Sees that a view of a video is decoded and encoded for a model.
    """

    def __init__(
        self,
        models: Callable[[str | None], ServedModel],
        intake: Intake,
        prepare: Callable[[View, ServedModel], Awaitable[None]],
    ) -> None:
        self._models, self._intake, self._prepare = models, intake, prepare
        self._known: dict[str, tuple[ServedModel, Scorer]] = {}

    def add_to(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.post(
            "/v1/videos/{video_id}/attributes",
            response_model=None,
            responses={
                200: {
                    "model": FaceReport,
                    "description": "The numbers; by `Accept: text/csv` as a table.",
                    "content": {CSV: {"schema": {"type": "string"}}},
                },
                **errors(404),
            },
        )(self.attributes)

    async def attributes(
        self, request: Request, video_id: str, body: Annotated[AttributesRequest | None, Body()] = None
    ) -> Response:
        """Probability of every attribute, the emotion over time, pose and motion of the head; as JSON or CSV."""
        asked = body or AttributesRequest()
        if asked.window_s is not None and 0 < asked.window_s < SHORTEST:
            raise ApiError(400, f"window_s = {asked.window_s:g}: the shortest has {SHORTEST:g} s.", "window_s")
        served = self._models(asked.model)
        async with self._intake.named(video_id) as key:
            known = await asyncio.to_thread(_remembered, served.store, key, asked)
            report = known or await self._report(served, key, asked)
        if CSV in request.headers.get("accept", ""):
            return Response(report.to_csv(), media_type=CSV)
        return Response(report.model_dump_json(), media_type="application/json")

    async def _report(self, served: ServedModel, key: str, asked: AttributesRequest) -> FaceReport:
        scorer, view = await self._scorer(served), asked.view(key)
        try:
            await self._prepare(view, served)
        except ApiError as error:
            if error.code != "no_face":
                raise
            cautions = [{"code": "no_face", "message": error.message}]
            return face_report(key, scorer, None, track=asked.face, cautions=cautions)
        with in_openai_s_words():
            windows = await served.media.windows.remote(key, asked.face, asked.window_s, asked.stride_s)
            rows = await served.encoder.scores.remote(view, windows.clips)
        report = await asyncio.to_thread(
            lambda: face_report(
                key,
                scorer,
                served.store.derived.read_clip(key, asked.face),
                rows[0],
                zip(windows.spans, windows.clips[1:], rows[1:], strict=True),
                window_s=windows.window_s,
                stride_s=windows.stride_s,
                track=asked.face,
                cautions=of_video(served.store.derived.told(key, "facts"), 1, asked.face),
            )
        )
        await asyncio.to_thread(_remember, served.store, key, asked, report)
        return report

    async def _scorer(self, served: ServedModel) -> Scorer:
        known = self._known.get(served.name)
        if known is None or known[0] is not served:  # another may have been taken up under the name
            with in_openai_s_words():
                taught, calibration = await served.encoder.taught.remote()
            revision = await asyncio.to_thread(model_fingerprint, served.config.serve.model or "")
            known = self._known[served.name] = served, Scorer(served.name, revision, taught, calibration)
        return known[1]


def _remembered(store: VideoStore, key: str, asked: AttributesRequest) -> FaceReport | None:
    """What was last told of this view, if the same was asked."""
    with suppress(FileNotFoundError):
        found = json.loads(store.derived.attributes(asked.view(key)).read_text())
        if found["asked"] == asked.model_dump():
            return FaceReport(**found["report"])
    return None


def _remember(store: VideoStore, key: str, asked: AttributesRequest, report: FaceReport) -> None:
    text = json.dumps({"asked": asked.model_dump(), "report": report.model_dump()})
    store.derived.write(store.derived.attributes(asked.view(key)), lambda path: path.write_text(text))
