"""``POST /v1/videos/{id}/why``: how much each frame that the model saw does for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from serve.chat import Chat, FrameEffects, Piece
from serve.deployments import in_openai_s_words
from serve.errors import ApiError
from serve.intake import Intake
from serve.metrics import Metrics, Writing
from serve.openapi import errors
from serve.protocol import PLACEHOLDERS
from serve.request_queue import Places
from serve.request_record import current
from serve.served_model import ServedModel
from serve.view import FACES, Part, View, ordered

LETTERS = 8192
"""Longest question and longest answer."""


class WhyRequest(BaseModel):
    """A question about one video, and an answer to it: the model's own, or any other."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=LETTERS)
    answer: str = Field(min_length=1, max_length=LETTERS)
    face: int = Field(default=0, ge=0, lt=FACES, description="Which face: 0 the main one.")
    without: Annotated[list[Part], Field(max_length=2)] | None = Field(
        default=None, description="Parts of the model that were left out."
    )
    model: str | None = Field(default=None, description="Which model answered; null: the first.")


class FrameEffect(BaseModel):
    """What one frame does for the answer."""

    index: int = Field(description="Which of the sampled frames, as in `track` of the video.")
    time: float = Field(description="Seconds.")
    logprob: float | None = Field(description="Of the answer with this frame hidden; null where there is no other.")
    weight: float | None = Field(description="By how much that is less; below 0 the frame speaks against the answer.")


class Why(BaseModel):
    """What the frames do for an answer."""

    id: str
    model: str
    face: int
    question: str
    answer: str
    by: Literal["scores", "words", "both", "rule"]
    logprob: float = Field(description="Logarithm of the answer's probability.")
    frames: list[FrameEffect]


class WhyRoute:
    """The route, a client of all deployments.

    Args:
        models: The model of a name; null: the first.
        intake: Holds videos.
        prepare: Sees that a view of a video is decoded and encoded for a model.
        places: The engine's places, by the model's name.
        metrics: Counts what the language model reads.
    """

    def __init__(
        self,
        models: Callable[[str | None], ServedModel],
        intake: Intake,
        prepare: Callable[[View, ServedModel], Awaitable[None]],
        places: dict[str, Places],
        metrics: Metrics,
    ) -> None:
        self._models, self._intake, self._prepare = models, intake, prepare
        self._places, self._metrics = places, metrics

    def add_to(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.post("/v1/videos/{video_id}/why", response_model=Why, responses=errors(404))(self.why)

    async def why(self, video_id: str, asked: WhyRequest) -> Why:
        """How much less likely an answer is with each frame hidden from the model."""
        for field in ("question", "answer"):
            text = getattr(asked, field)
            if not text.strip() or any(placeholder in text for placeholder in PLACEHOLDERS):
                raise ApiError(400, f"{field}: it must be a text without {' or '.join(PLACEHOLDERS)}.", field)
        served = self._models(asked.model)
        async with self._intake.named(video_id) as key:
            view = View(key, asked.face, ordered(asked.without or []))
            await self._prepare(view, served)
            with in_openai_s_words():
                await served.encoder.hide_frames.remote(view)
            effects = await self._effects(served, view, asked)
            clip = await asyncio.to_thread(served.store.derived.read_clip, key, asked.face)
        hidden: Sequence[float | None] = effects.hidden or [None] * len(effects.frames)
        return Why(
            id=key,
            model=served.name,
            face=asked.face,
            question=asked.question,
            answer=asked.answer,
            by=effects.by,
            logprob=effects.logprob,
            frames=[
                FrameEffect(
                    index=frame,
                    time=round(float(clip.timestamps[frame]), 5),
                    logprob=logprob,
                    weight=None if logprob is None else effects.logprob - logprob,
                )
                for frame, logprob in zip(effects.frames, hidden, strict=True)
            ],
        )

    async def _effects(self, served: ServedModel, view: View, asked: WhyRequest) -> FrameEffects:
        content = [{"type": "video"}, {"type": "text", "text": asked.question}]
        chat = Chat([{"role": "user", "content": content}], [view])
        async with self._places[served.name].place(current().owner):
            writing = Writing(self._metrics, served.name)
            try:
                with in_openai_s_words():
                    effects = await served.engine.frame_effects.remote(chat, asked.answer)
                writing.see(Piece("", effects.prompt_tokens, 0))
                writing.see(Piece("", effects.prompt_tokens, effects.answer_tokens, "stop"))
            finally:
                writing.close()
        return effects
