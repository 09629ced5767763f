"""The sections on preparing and annotating a corpus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

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
FACE_MARGIN = 0.1
"""By what share a face crop is wider than ArcFace's by default. The expression trunk sees best at 0.05 to 0.15
(docs/choices.md), and the trunks' window and the mouth's place are measured in crops of this margin."""


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
    margin: float = Field(default=FACE_MARGIN, ge=0, le=2)
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
    shard_bytes: int = Field(default=256 * 2**20, ge=2**20, lt=2**31)
    """Bytes of images a Parquet file holds at most; the files are about half to all as large. A file is written when
    that many clips are done, so smaller ones lose less when a job is killed."""
    clips_per_shard: int = Field(default=512, ge=1)
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
        size = self.frames.max_frames * 3 * max(self.frames.side, self.faces.size) ** 2
        if self.encoding == "raw" and size >= 2**31:
            raise ValueError(
                f"encoding = raw: a clip of {self.frames.max_frames} images may take {size / 2**30:.1f} GiB, and a "
                "column of a shard holds 2; lower frames.max_frames or frames.side"
            )
        return self
