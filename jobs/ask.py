"""Ask a trained model about a video file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from favchat.config import ConfigError
from favchat.face_scores.values import Calibration
from favchat.hub.fingerprint import model_fingerprint
from favchat.hub.names import SHIPPED, resolve_model
from favchat.io.files import expanded
from favchat.labels.everyday_templates import NO_FACE
from favchat.runtime.threads import available_threads

if TYPE_CHECKING:
    from favchat.face_scores.report import AttributeRow, FaceReport


def run(model: str | None, video: str, questions: Sequence[str], *, max_new_tokens: int = 128) -> list[str]:
    """Decode the video, find and follow its main face, and answer each question.

    Args:
        model: A name that :func:`favchat.hub.names.resolve_model` knows; None: the model that comes with the package.
        video: Any video file.
        questions: What to ask; each is answered by itself.
        max_new_tokens: Longest answer, in tokens.

    Returns:
        The answers; of a video without a face, that there is none.

    Raises:
        ConfigError: There is no such model, or no such file.
        VideoError: The file cannot be read as a video.
        AssetError: The detector, or a part of the package's own model, cannot be fetched.
    """
    video, place = _places(model, video)
    import torch

    from favchat.hub.load import load
    from favchat.model.generation import answer
    from favchat.video import VideoError

    torch.set_num_threads(available_threads())
    network, processor = load(place)
    specification = processor.clip_specification
    try:
        clip = specification.read(video, specification.make_detector())[0]
    except VideoError as error:
        if not error.reason.startswith("no face found"):
            raise
        return [NO_FACE] * len(questions)
    return answer(network, processor, [clip] * len(questions), questions, max_new_tokens=max_new_tokens)


def scores(
    model: str | None, video: str, *, window_s: float | None = None, stride_s: float | None = None, track: int = 0
) -> FaceReport:
    """How likely each attribute is that the model was taught, over the whole clip and over time.

    Args:
        model: As for :func:`run`.
        video: Any video file.
        window_s: Seconds of a window; None: 2, or more where that would make too many; 0: no windows.
        stride_s: Seconds from the begin of one window to the begin of the next; None: as long as a window.
        track: Which face: 0 the main one, 1 the next.

    Returns:
        What ``POST /v1/videos/{id}/attributes`` answers.

    Raises:
        ConfigError: As :func:`run`, or the model was taught no attributes, or the video has fewer faces.
        VideoError: As :func:`run`.
        AssetError: As :func:`run`.
    """
    video, place = _places(model, video)
    import torch

    from favchat.hub.load import load
    from favchat.model.video_scores import video_scores

    torch.set_num_threads(available_threads())
    network, processor = load(place)
    if not processor.attributes:
        raise ConfigError(f"{place}: this model was taught no attributes, so it has no scores; ask it in words")
    try:
        return video_scores(
            network,
            processor,
            video,
            window_s=window_s,
            stride_s=stride_s,
            track=track,
            name=model or SHIPPED,
            calibration=Calibration.read(place),
            revision=model_fingerprint(place),
        )
    except IndexError as error:
        raise ConfigError(f"{video}: {error}") from None


def lines(report: FaceReport) -> list[str]:
    """Scores for a terminal: a line for each taught attribute, family by family, the surest first; then the windows."""
    if not report.face.found:
        return [NO_FACE]
    text = [f"note: {warning.message}" for warning in report.face.warnings]
    families: dict[str, list[AttributeRow]] = {}
    for one in report.attributes:
        if one.score is not None:
            families.setdefault(one.family, []).append(one)
    for family, some in families.items():
        text.append(f"{family}:")
        for one in sorted(some, key=lambda one: -(one.score or 0.0)):
            known = one.balanced_accuracy
            held_out = "" if known is None else f"  (balanced accuracy {known:.2f})"
            score = one.score or 0.0
            text.append(f"  {one.name:20} {score:4.2f} {'#' * round(20 * score):20}{held_out}".rstrip())
    for window in report.over_time.windows:
        emotion = sorted((window.emotion or {}).items(), key=lambda pair: -pair[1])[:3]
        shares = ", ".join(f"{name} {share:.2f}" for name, share in emotion)
        text.append(f"{window.start:6.2f} to {window.end:6.2f} s: {shares if window.found else 'the face is not seen'}")
    return text


def _places(model: str | None, video: str) -> tuple[str, str]:
    """Where the video and the model lie; a wrong name is told before torch takes its seconds to load."""
    # Absolute: a name such as 12:30.mp4 would be taken for a protocol.
    video = os.path.abspath(expanded(video.removeprefix("file://")))
    if not Path(video).is_file():
        raise ConfigError(f"{video}: no such file")
    return video, resolve_model(model or SHIPPED)
