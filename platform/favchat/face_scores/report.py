"""What a model and the track tell of the face in a video, in numbers: for the API, the terminal, and Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from favchat.face_scores.values import AttributeScore, Calibration
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA, Attribute
from favchat.video.clip import ProcessedClip
from favchat.video.quality import head_pose, measure


@dataclass(frozen=True)
class Scorer:
    """The model that scores."""

    name: str
    revision: str
    """Its fingerprint, :func:`favchat.hub.fingerprint.model_fingerprint`."""
    taught: Sequence[str]
    """The attributes that it was taught."""
    calibration: Calibration
    """What was measured of them on held-out clips."""


ATTRIBUTES = (*APPEARANCE, *ACTION, *EMOTION, *EXTRA)
EMOTIONS = tuple(emotion.name for emotion in EMOTION)

SMALL = 48
"""Pixels of a face's shorter side below which its features are hard to see: the encoder's picture is enlarged
threefold."""
UNSHARP = 15
"""Sharpness below which a face counts as blurred; the sample clips have 39 to 490."""
DARK = 40
"""Mean luma, 0..255, below which a face counts as dark."""
AVERTED = 45
"""Degrees of yaw from which on half of the face is hidden."""
RARE = 0.5
"""Share of the frames below which the face counts as seldom seen."""


class Caution(BaseModel):
    """Why what is told of a face may be less sure than its numbers say."""

    code: str
    message: str


class Face(BaseModel):
    """How well the face can be seen."""

    found: bool
    """Whether there is one; without it nothing is told."""
    size_px: float | None = None
    """Shorter side of the face's box in pixels of the video, median over the frames."""
    sharpness: float | None = None
    """Variance of the Laplacian of the aligned face's luma, median."""
    visible: float | None = None
    """Share of the frames, 0..1, that show it."""
    warnings: list[Caution] = []


class HeldOut(BaseModel):
    """Held-out clips that an attribute was measured on."""

    present: int
    absent: int


class AttributeRow(BaseModel):
    """One attribute of the face."""

    name: str
    family: str
    label: str
    """In words, such as "wearing eyeglasses"; what is present or not."""
    taught: bool
    """Whether the model was taught it. What it was not taught it cannot tell: all else is null then."""
    present: bool | None
    """What the model says in words: whether the score is above 0.5; of the emotions, whether it is the likeliest."""
    probability: float | None
    """0..1, calibrated on held-out clips, with the frequency of the training clips: rare attributes have low ones."""
    score: float | None
    """0..1, the same were it present in half of all clips."""
    balanced_accuracy: float | None
    """Of `present` on held-out clips of other people, 0.5 being chance; null where it was not measured."""
    held_out: HeldOut | None


class Pose(BaseModel):
    """Where the head points, degrees: yaw to the right of the image, pitch up, roll clockwise; medians of a window."""

    yaw: float
    pitch: float
    roll: float


class WindowReport(BaseModel):
    """A part of the video, read as a clip of its own; all null where the face is not to be seen in it."""

    start: float
    end: float
    found: bool
    emotion: dict[str, float] | None
    """Shares that sum to 1."""
    attributes: dict[str, float] | None
    """Probability of each taught attribute but the emotions."""
    scores: dict[str, float] | None
    """Score of each of them."""
    pose: Pose | None
    motion: float | None
    """Mean speed of the face, in face sizes a second."""


class OverTime(BaseModel):
    """The windows."""

    window_s: float
    """Seconds of a window; 0: none were asked for."""
    stride_s: float
    """Seconds from the begin of one to the begin of the next."""
    windows: list[WindowReport]


class TrackReport(BaseModel):
    """The face over the n sampled frames; null where it is not visible."""

    track: int
    """Which face: 0 the main one, then by size and score."""
    start: float
    """Begin of the part of the video in which it was followed, seconds: all of it, or one shot."""
    end: float
    times: list[float]
    boxes: list[list[float] | None]
    """x1 y1 x2 y2 as shares of width and height."""
    landmarks: list[list[list[float]] | None]
    """5 x y as shares of width and height: left eye, right eye, nose, left and right corner of the mouth, as seen."""
    visible: list[bool]
    yaw: list[float | None]
    """Degrees, to the right of the image."""
    pitch: list[float | None]
    """Degrees, up."""
    roll: list[float | None]
    """Degrees, clockwise."""
    motion: list[float | None]
    """Speed of the face since the frame before, in face sizes a second."""


class FaceReport(BaseModel):
    """All that is told of a video's face in numbers."""

    id: str
    """The video."""
    object: Literal["video.attributes"] = "video.attributes"
    model: str
    revision: str
    """Fingerprint of the model's files."""
    face: Face
    attributes: list[AttributeRow]
    """All 83 of CelebV-HQ and the seven more that the model may know."""
    emotion: dict[str, float] | None
    """Of the whole clip: shares of the taught emotions that sum to 1."""
    over_time: OverTime
    track: TrackReport | None
    calibration_error: dict[str, float]
    """Expected calibration error of the probabilities on held-out clips, by family, where it was measured."""

    def to_csv(self) -> str:
        """A row for each attribute of the whole clip, then one for each taught attribute of each window."""
        start, end = (self.track.start, self.track.end) if self.track else (None, None)
        target = io.StringIO()
        table = csv.writer(target, lineterminator="\n")
        table.writerow([*PLACES, *COLUMNS])
        for row in self.attributes:
            table.writerow(["clip", start, end, *(getattr(row, name) for name in COLUMNS)])
        by_name = {row.name: row for row in self.attributes}
        for window in self.over_time.windows:
            for name, values in _rows(window).items():
                row = by_name[name].model_copy(update=values)
                table.writerow(["window", window.start, window.end, *(getattr(row, name) for name in COLUMNS)])
        return target.getvalue()


PLACES = ("part", "start", "end")
COLUMNS = ("name", "family", "label", "taught", "present", "probability", "score", "balanced_accuracy")


def _rows(window: WindowReport) -> dict[str, dict[str, float | bool]]:
    """Of each taught attribute of a window what differs from the clip's row."""
    emotion = window.emotion or {}
    first = max(emotion, key=emotion.__getitem__, default=None)
    rows: dict[str, dict[str, float | bool]] = {
        name: {"present": (window.scores or {})[name] > 0.5, "probability": value, "score": (window.scores or {})[name]}
        for name, value in (window.attributes or {}).items()
    }
    return rows | {
        name: {"present": name == first, "probability": share, "score": share} for name, share in emotion.items()
    }


def face_report(
    video: str,
    scorer: Scorer,
    clip: ProcessedClip | None,
    scores: Sequence[AttributeScore] = (),
    windows: Iterable[tuple[tuple[float, float], ProcessedClip | None, Sequence[AttributeScore]]] = (),
    *,
    window_s: float = 0.0,
    stride_s: float = 0.0,
    track: int = 0,
    cautions: Sequence[Mapping[str, str]] = (),
) -> FaceReport:
    """Put together what is told of a face.

    Args:
        video: Names the video.
        scorer: The model.
        clip: With the face; None: none was found.
        scores: Of the clip.
        windows: Begin and end of each, its clip or None, its scores.
        window_s: Seconds of a window.
        stride_s: Seconds from the begin of one to the begin of the next.
        track: Which face it is.
        cautions: A `code` and a `message` each, beside those that the face itself gives.
    """
    found = {one.name: one for one in scores}
    return FaceReport(
        id=video,
        model=scorer.name,
        revision=scorer.revision,
        face=_face(clip, cautions),
        attributes=[_row(one, found, scorer) for one in ATTRIBUTES],
        emotion=_emotion(scores),
        over_time=OverTime(
            window_s=window_s, stride_s=stride_s, windows=[_window(span, part, own) for span, part, own in windows]
        ),
        track=None if clip is None else _track(clip, track),
        calibration_error={family: round(error, 4) for family, error in scorer.calibration.error.items()},
    )


def label(attribute: Attribute) -> str:
    """What label 1 of an attribute says, in words."""
    words = attribute.opposite if attribute.negated else attribute.phrase
    return (words or f"not {attribute.phrase}").format(their="their")


def _row(attribute: Attribute, scores: Mapping[str, AttributeScore], scorer: Scorer) -> AttributeRow:
    score, taught = scores.get(attribute.name), attribute.name in scorer.taught
    measured = scorer.calibration.measured.get(attribute.name) if taught else None
    present = None
    if score is not None:
        emotions = {name: scores[name].score for name in EMOTIONS if name in scores}
        likeliest = max(emotions, key=emotions.__getitem__, default=None)
        present = attribute.name == likeliest if attribute.name in emotions else score.score > 0.5
    return AttributeRow(
        name=attribute.name,
        family=attribute.family,
        label=label(attribute),
        taught=taught,
        present=present,
        probability=None if score is None else _probability(score.probability),
        score=None if score is None else _probability(score.score),
        balanced_accuracy=None if measured is None else round(measured.balanced_accuracy, 4),
        held_out=None if measured is None else HeldOut(present=measured.present, absent=measured.absent),
    )


def _emotion(scores: Sequence[AttributeScore]) -> dict[str, float] | None:
    return {one.name: _probability(one.probability) for one in scores if one.name in EMOTIONS} or None


def _window(span: tuple[float, float], clip: ProcessedClip | None, scores: Sequence[AttributeScore]) -> WindowReport:
    rest = [one for one in scores if one.name not in EMOTIONS]
    pose = motion = None
    if clip is not None:
        yaw, pitch, roll = np.round(np.nanmedian(_poses(clip), axis=0), 2).tolist()
        pose = Pose(yaw=yaw, pitch=pitch, roll=roll)
        speeds = _speeds(clip)
        motion = None if np.isnan(speeds).all() else round(float(np.nanmean(speeds)), 4)
    return WindowReport(
        start=round(span[0], 4),
        end=round(span[1], 4),
        found=clip is not None,
        emotion=_emotion(scores),
        attributes={one.name: _probability(one.probability) for one in rest} if scores else None,
        scores={one.name: _probability(one.score) for one in rest} if scores else None,
        pose=pose,
        motion=motion,
    )


def _probability(value: float) -> float:
    return round(value, 6)


def _face(clip: ProcessedClip | None, cautions: Sequence[Mapping[str, str]]) -> Face:
    given = [Caution(**one) for one in cautions]
    if clip is None:
        return Face(found=False, warnings=given)
    quality = measure(clip)
    looks = (
        (
            quality.face_size < SMALL,
            "small_face",
            f"The face has {quality.face_size:.0f} pixels; details are lost.",
        ),
        (quality.sharpness < UNSHARP, "blurred_face", "The face is blurred; details are lost."),
        (quality.brightness < DARK, "dark_face", "The face is dark; details are lost."),
        (abs(quality.yaw) > AVERTED, "averted_face", f"The head is turned by {abs(quality.yaw):.0f} degrees."),
        (quality.face_share < RARE, "seldom_seen", f"The face is in {quality.face_share:.0%} of the frames."),
    )
    return Face(
        found=True,
        size_px=round(quality.face_size, 1),
        sharpness=round(quality.sharpness, 1),
        visible=round(quality.face_share, 4),
        warnings=[*given, *(Caution(code=code, message=text) for holds, code, text in looks if holds)],
    )


def _track(clip: ProcessedClip, track: int) -> TrackReport:
    poses = _poses(clip)
    begin, end = clip.shot
    seen = clip.visible.tolist()
    boxes, points = _rounded(clip.boxes), _rounded(clip.landmarks)
    return TrackReport(
        track=track,
        start=round(begin, 4),
        end=round(min(end, clip.info.duration), 4),
        times=np.round(clip.timestamps, 4).tolist(),
        boxes=[box if there else None for box, there in zip(boxes, seen, strict=True)],
        landmarks=[five if there else None for five, there in zip(points, seen, strict=True)],
        visible=seen,
        yaw=_gaps(poses[:, 0], 2),
        pitch=_gaps(poses[:, 1], 2),
        roll=_gaps(poses[:, 2], 2),
        motion=_gaps(_speeds(clip), 4),
    )


def _poses(clip: ProcessedClip) -> NDArray[np.float64]:
    """`(n, 3)` degrees, no number where the face is not visible."""
    poses = np.full((len(clip.visible), 3), np.nan)
    if clip.visible.any():
        poses[clip.visible] = head_pose(clip.landmarks[clip.visible] * (clip.info.width, clip.info.height))
    return poses


def _speeds(clip: ProcessedClip) -> NDArray[np.float64]:
    """`(n,)` face sizes a second since the frame before, no number where one of the two does not show the face."""
    corners = clip.boxes.reshape(-1, 2, 2).astype(np.float64) * (clip.info.width, clip.info.height)
    size = np.maximum((corners[:, 1] - corners[:, 0]).mean(axis=1), 1e-6)
    steps = np.linalg.norm(np.diff(corners.mean(axis=1), axis=0), axis=1)
    speeds = np.full(len(corners), np.nan)
    speeds[1:] = steps / ((size[1:] + size[:-1]) / 2) / np.maximum(np.diff(clip.timestamps), 1e-3)
    speeds[1:][~(clip.visible[1:] & clip.visible[:-1])] = np.nan
    return speeds


def _gaps(values: NDArray[np.float64], digits: int) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), digits) for value in values]


def _rounded(values: NDArray[np.floating]) -> Any:
    return np.round(values.astype(np.float64), 5).tolist()
