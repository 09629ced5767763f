"""How many faces a clip shows, which of them is followed, and what is told of each."""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from favchat.video import Detections, FaceDetector, ProcessedClip
from favchat.video.images import encode_images

QUALITY = 85
"""Of the JPEG pictures."""


class RememberingDetector:
    """A detector that can be asked again, by the thread that it worked for, what it found last.

    Args:
        detector: The detector.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._found = threading.local()

    def detect(self, images: NDArray[np.uint8]) -> list[Detections]:
        """The faces in images `(T, H, W, 3)`."""
        found = self._detector.detect(images)
        self._found.last = (found, images.shape[1:3])
        return found

    def last(self) -> tuple[Sequence[Detections], tuple[int, int]]:
        """What was found last, and height and width of the pictures that it was found in."""
        return self._found.last


def count_people(
    detections: Sequence[Detections], size: tuple[int, int], clip: ProcessedClip, min_share: float
) -> dict[str, Any]:
    """How many faces are to be seen at once, and which of them, from the left, is followed.

    Args:
        detections: Of each of the clip's T frames.
        size: Height and width of the pictures that they were made in.
        clip: The clip.
        min_share: A face counts that is there in at least this share of the frames, 0..1.

    Returns:
        `found`: as many faces as at least `min_share` of the frames show, at least 1. `followed`: the place of the
        followed face among them from the left, 1 the leftmost, where it has most often; null where no frame shows
        it together with them.
    """
    counts = np.array([len(found.boxes) for found in detections])
    found = max((int(n) for n in set(counts.tolist()) if n and (counts >= n).mean() >= max(min_share, 1e-9)), default=1)
    places, width = [], size[1]
    for frame, box, visible in zip(detections, clip.boxes, clip.visible, strict=True):
        if visible and len(frame.boxes) >= found:
            # Of more, those that the detector is surest of, which come first.
            centres = np.sort(frame.boxes[:found].reshape(-1, 2, 2).mean(axis=1)[:, 0] / width)
            places.append(int(np.abs(centres - box[[0, 2]].mean()).argmin()) + 1)
    followed = max(set(places), key=places.count) if places else None
    return {"found": found, "followed": followed}


def told_of(clip: ProcessedClip) -> dict[str, Any]:
    """What is told of one face beside others, ready for JSON.

    Returns:
        `share` of the T frames that show it, 0..1; `boxes`, of each frame x1 y1 x2 y2 as shares of width and height,
        None where it is not to be seen; `thumbnail`, its largest aligned crop as base64 JPEG.
    """
    sides = clip.boxes[:, 2:] - clip.boxes[:, :2]
    largest = int(np.where(clip.visible, sides.prod(axis=1), -1).argmax())
    boxes = np.round(clip.boxes.astype(np.float64), 5).tolist()
    return {
        "share": round(float(clip.visible.mean()), 4),
        "boxes": [box if seen else None for box, seen in zip(boxes, clip.visible, strict=True)],
        "thumbnail": base64.b64encode(encode_images(clip.faces[largest][None], quality=QUALITY)[0]).decode(),
    }
