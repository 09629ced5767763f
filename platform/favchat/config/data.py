"""The sections on preparing and annotating a corpus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from favchat.config.openai_server import ServerConfig
from favchat.config.section import Place, Section
from favchat.plugins import SOURCES


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Check that fractions are a distribution.

    Raises:
        ValueError: The shares do not sum to 1, one is negative, or a name is empty.
    """
    total = math.fsum(fractions.values())
    if not all(fractions) or any(share < 0 for share in fractions.values()) or not math.isclose(total, 1, abs_tol=1e-6):
        shares = ", ".join(f"{name or 'without a name'}: {share:g}" for name, share in fractions.items())
        raise ValueError(f"the shares of the splits must be named, 0 or more and sum to 1 ({shares or 'none given'})")


FPS = 8.0
"""Default sampling rate of clips, frames per second."""


class SourceConfig(Section):
    """Where the clips come from."""

    kind: str = "folder"
    """What lies at ``path``; docs/sources.md shows the layout of each kind. Further kinds come
    from installed packages, see docs/architecture.md."""
    path: Place | None = None
    """The dataset's folder, at any address that fsspec opens; for ``folder`` also one video file or a pattern such as
    ``VIDEOS/**/*.mp4``, for ``manifest`` the CSV, JSON Lines or Parquet file."""
    annotations: Place | None = None
    """The annotation JSON of ``celebv_hq`` (needed) or ``celebv_text``; other kinds have none."""
    split: str | None = Field(default=None, min_length=1)
    """The split of this source's clips, where it names none itself; null: ``data.splits`` draws them."""
    fold: int = Field(default=1, ge=1, le=5)
    """Which of the five folds of ``dfew`` or ``mafw`` tells train from test."""

    @field_validator("kind")
    @classmethod
    def _kind_is_known(cls, kind: str) -> str:
        return SOURCES.check(kind)


class FramesConfig(Section):
    """Which frames of a clip are kept, and how large."""

    fps: float = Field(default=FPS, gt=0)
    """Sampled frames a second."""
    max_frames: int = Field(default=32, ge=1)
    """At most this many frames a clip; a longer clip is sampled uniformly."""
    decode_side: int = Field(default=640, ge=32)
    """Longest side in pixels at which frames are decoded and faces detected and cut out."""
    side: int = Field(default=256, ge=32)
    """Longest side in pixels of the stored frames."""


class FacesConfig(Section):
    """How the main face is found, followed and cut out."""

    min_score: float = Field(default=0.5, gt=0, lt=1)
    """Detections below this score are not used."""
    min_share: float = Field(default=0.3, ge=0, le=1)
    """A clip with a face in a smaller share of its frames goes to the rejects."""
    max_tracks: int = Field(default=1, ge=1)
    """Faces of a clip that become rows of their own; 1: the main face alone. Where the source gives a face's box, that
    face is the only one."""
    size: int = Field(default=160, ge=32)
    """Side of the square aligned face crops, in pixels."""
    margin: float = Field(default=0.1, ge=0, le=2)
    """By what share the crop is wider than ArcFace's; see docs/choices.md."""


class Bounds(Section):
    """What a measure may be; null: no bound."""

    min: float | None = None
    """Clips below are dropped."""
    max: float | None = None
    """Clips above are dropped."""

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min:g} is more than max = {self.max:g}")
        return self


class FilterConfig(Section):
    """Bounds of the measures of a clip's quality, see docs/data-format.md; what lies outside goes to the rejects."""

    face_share: Bounds = Bounds()
    """Share of the sampled frames with the face, 0..1."""
    score: Bounds = Bounds()
    """Mean score of the detections, 0..1."""
    face_size: Bounds = Bounds()
    """Shorter side of the face's box in pixels of the video, median."""
    sharpness: Bounds = Bounds()
    """Variance of the Laplacian of the face crops, median; it depends on ``faces.size``."""
    yaw: Bounds = Bounds()
    """Degrees by which the head is turned, median; positive towards the right of the image."""
    pitch: Bounds = Bounds()
    """Degrees by which the head is raised, median; positive up."""
    roll: Bounds = Bounds()
    """Degrees by which the head is tilted, median; positive clockwise."""
    brightness: Bounds = Bounds()
    """Mean luma of the face crops, 0..255."""


class DataConfig(Section):
    """From videos to shards."""

    source: SourceConfig = SourceConfig()
    sources: list[SourceConfig] = []
    """Several sources that become one corpus, in place of ``source``. A clip id may occur in one of them only."""
    out: Place | None = None
    """Folder of the corpus, at any address that fsspec opens: ``shards/``, ``rejects/`` and ``annotations/`` lie below
    it."""
    splits: dict[str, float] = {"train": 1.0}
    """Split -> its share, summing to 1, for sources that name no splits: drawn from a hash of ``seed`` and the clip's
    identity, so adding clips changes no other's. Where the identity is unknown, the clip's id decides, and clips of one
    video or nearly equal ones share the split of the first. Sources that name splits keep theirs."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Whether a clip that nearly equals an earlier one of another video goes to the rejects."""
    frames: FramesConfig = FramesConfig()
    faces: FacesConfig = FacesConfig()
    cuts: Literal["keep_longest", "reject", "ignore"] = "keep_longest"
    """A clip with a shot cut inside is cut down to its longest shot with a face (one that ``faces.min_share`` and the
    annotated box allow), goes to the rejects, or is not looked at."""
    filters: FilterConfig = FilterConfig()
    encoding: Literal["jpeg", "raw"] = "jpeg"
    """How the images in the shards are written: as JPEG, or as raw pixels that lose nothing and take several times the
    space; docs/choices.md measures both."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the JPEG images in the shards; ``encoding: raw`` has none."""
    clips_per_shard: int = Field(default=64, ge=1)
    """Rows a Parquet file holds at most."""
    workers: int | None = Field(default=None, ge=1)
    """Detector actors; by default one a free CPU."""
    seconds_per_clip: float = Field(default=300, gt=0)
    """A clip that takes longer hangs: it is tried again and then rejected."""

    @field_validator("splits")
    @classmethod
    def _shares_sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        check_fractions(shares)
        return shares

    @model_validator(mode="after")
    def _a_shard_can_hold_its_images(self) -> DataConfig:
        size = self.clips_per_shard * self.frames.max_frames * 3 * max(self.frames.side, self.faces.size) ** 2
        if self.encoding == "raw" and size >= 2**31:
            raise ValueError(
                f"encoding = raw: {self.clips_per_shard} clips of {self.frames.max_frames} images may take "
                f"{size / 2**30:.1f} GiB, and a column of a shard holds 2; lower clips_per_shard"
            )
        return self


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
