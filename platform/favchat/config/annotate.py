"""What is written about the clips, by whom, and what of it is selected."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from favchat.config.openai_server import ServerConfig
from favchat.config.section import Place, Section


class EndpointConfig(ServerConfig):
    """A server that can look at pictures; the frames of every clip are sent to it."""

    frames: int = Field(default=4, ge=1)
    """Frames of a clip that go along as pictures, spread evenly over it."""
    prompts: Place | None = None
    """Folder with ``system.txt`` and ``user.txt``; null: those of the package, in
    ``favchat/data/annotation/prompts``."""
    reply_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    """How the server is told to answer in JSON; ``text`` leaves it to the prompt. Replies are checked in any case."""
    parameters: dict[str, Any] = {"max_tokens": 2000}
    """Further fields of a request as the server knows them, such as ``temperature``."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """At most this many requests a minute, repeated ones included; null: no limit."""
    token_limit: int | None = Field(default=None, ge=1)
    """No request is sent once the replies of this run have used so many tokens of prompts and answers; the clips that
    are left are rejected, and a later run goes on with them. Up to ``concurrency`` requests may be under way then."""
    backoff_s: float = Field(default=1, gt=0)
    """Seconds before the second attempt, doubled before every further one up to a minute; a server's ``Retry-After``
    goes before."""
    cache: Place | None = None
    """Folder of the replies, which are never paid for twice; null: ``reply_cache`` in ``data.out``."""


class QualityWeights(Section):
    """What each score counts for in the quality of a row."""

    consistency: float = Field(default=0.3, ge=0)
    """That the labels confirm what it says."""
    specificity: float = Field(default=0.2, ge=0)
    """How many attributes its answer names."""
    face_quality: float = Field(default=0.2, ge=0)
    """How well the clip's face can be seen."""
    length: float = Field(default=0.1, ge=0)
    """That its answer is neither curt nor endless."""
    rarity: float = Field(default=0.2, ge=0)
    """How rarely the corpus speaks of its attributes."""

    @model_validator(mode="after")
    def _not_all_zero(self) -> QualityWeights:
        if not sum(self.model_dump().values()):
            raise ValueError("at least one weight must be above 0")
        return self


class SelectionConfig(Section):
    """The high-quality subset that the second stage of training may use; docs/annotation.md explains it."""

    share: float = Field(default=0.5, gt=0, le=1)
    """The budget: at most this share of the questions of each split. Summaries have none."""
    near_duplicate: float = Field(default=0.9, gt=0, le=1)
    """Similarity from which two texts are near copies: Jaccard of their word pairs, estimated by MinHash."""
    max_copies: int = Field(default=10, ge=1)
    """Near copies that may stay in a split, each of another clip; further ones are never selected."""
    weights: QualityWeights = QualityWeights()


class AnnotateConfig(Section):
    """From attributes to summaries and questions."""

    writer: Literal["template", "everyday", "endpoint", "model"] = "template"
    """Who writes: templates, offline, from the labels alone; ``everyday``, the same in the words people use, with
    as many yes as no for every attribute and questions that cannot be answered; a model behind ``endpoint`` that sees
    the frames; or ``model``, as everyday, from what a trained model's attribute scores are sure of where nobody gave
    labels."""
    model: str = "asset:favchat-nano"
    """Of ``writer=model``: the model, a directory, a hub name, ``models:/NAME@ALIAS`` or ``asset:favchat-nano``."""
    questions_per_attribute: int = Field(default=260, ge=1)
    """Of ``everyday`` and ``model``: questions answered with yes, and as many with no, for each attribute over the
    training split, as far as its labels go."""
    questions_per_clip: int = Field(default=12, ge=1)
    """At most this many questions a clip; an endpoint is asked for this many."""
    summaries_per_clip: int = Field(default=2, ge=1)
    """Differently worded summaries a clip."""
    endpoint: EndpointConfig = EndpointConfig()
    selection: SelectionConfig = SelectionConfig()
