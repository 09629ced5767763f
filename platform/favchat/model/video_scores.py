"""Everything that is told of the face in a video file in numbers: scores, emotion over time, track."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from favchat.face_scores.report import FaceReport, Scorer, face_report
from favchat.face_scores.values import AttributeScore, Calibration
from favchat.model.modeling_favchat import FaVChatForConditionalGeneration
from favchat.model.processing_favchat import FaVChatProcessor
from favchat.model.scores import attribute_scores
from favchat.video import ProcessedClip, VideoError
from favchat.video.windows import default_window, followed, window_clips, window_spans

BATCH = 8
"""Clips that the encoders see at once."""


def video_scores(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    path: str | Path,
    *,
    window_s: float | None = None,
    stride_s: float | None = None,
    track: int = 0,
    name: str = "favchat",
    calibration: Calibration | None = None,
    revision: str = "",
) -> FaceReport:
    """Read a video, score its face as a whole and in windows.

    Args:
        model: The model, on any device.
        processor: Its processor.
        path: The video file.
        window_s: Seconds of a window; None: see :func:`favchat.video.windows.default_window`; 0: no windows.
        stride_s: Seconds from the begin of one window to the begin of the next; None: `window_s`.
        track: Which face: 0 the main one, 1 the next.
        name: What the report calls the model.
        calibration: That of the model's directory, :meth:`Calibration.read`.
        revision: Its fingerprint, :func:`favchat.hub.fingerprint.model_fingerprint`.

    Returns:
        The report; `face.found` is false where there is no face.

    Raises:
        VideoError: The file cannot be read as a video.
        IndexError: The video has fewer faces.
    """
    specification, known = processor.clip_specification, calibration or Calibration()
    detector = specification.make_detector()
    scorer = Scorer(name, revision, processor.attributes, known)
    try:
        faces = specification.read(path, detector, max_tracks=track + 1)
    except VideoError as error:
        if error.stage != "track":
            raise
        return face_report(Path(path).name, scorer, None, track=track)
    if track >= len(faces):
        raise IndexError(f"track = {track}: the video shows {len(faces)} face(s) in enough frames")
    clip = faces[track]
    begin, end = followed(clip)
    window = default_window(begin, end) if window_s is None else window_s
    stride = stride_s or window
    spans = window_spans(begin, end, window, stride) if window else []
    parts = window_clips(path, detector, specification, clip, spans)
    rows = scores_of_clips(model, processor, [clip, *parts], known)
    return face_report(
        Path(path).name,
        scorer,
        clip,
        rows[0],
        zip(spans, parts, rows[1:], strict=True),
        window_s=window,
        stride_s=stride,
        track=track,
    )


def scores_of_clips(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    clips: Sequence[ProcessedClip | None],
    calibration: Calibration,
    batch: int = BATCH,
) -> list[list[AttributeScore]]:
    """The scores of each clip, `batch` at a time; none of what is None."""
    found: list[list[AttributeScore]] = [[] for _ in clips]
    there = [(place, clip) for place, clip in enumerate(clips) if clip is not None]
    for first in range(0, len(there), batch):
        some = there[first : first + batch]
        rows = attribute_scores(model, processor, [clip for _, clip in some], calibration)
        for (place, _), row in zip(some, rows, strict=True):
            found[place] = row
    return found
