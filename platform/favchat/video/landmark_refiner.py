"""Moves five landmarks to where the detector would find them, by a small network on the aligned crop around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from favchat.video.align import align_face, template_landmarks, to_crop
from favchat.video.onnx_session import onnx_session

NETWORK_FILE = Path(__file__).parent.parent / "weights" / "landmark_refiner.onnx"
SIDE = 80
"""Pixels a side of the crop that the network sees."""
MARGIN = 0.1
"""By what fraction it is wider than ArcFace's."""
BATCH = 16
_COMPLEX = np.array([1, 1j])


@dataclass(frozen=True)
class Refined:
    """N faces in crops that were aligned by the landmarks that were given.

    Attributes:
        shifts: (N, 5, 2) float64, how far each landmark lies from where the template has it, in pixels of the crop.
        faces: (N,) float32, the logarithm of the odds that there is a face, about in the middle of the crop.
        crops: (N, SIDE, SIDE, 3) uint8.
    """

    shifts: NDArray[np.float64]
    faces: NDArray[np.float32]
    crops: NDArray[np.uint8]


class LandmarkRefiner:
    """A network of 0.6 million weights that was taught CenterFace's landmarks: a twentieth of the detector's work.

    The network is loaded at the first call. Only settings are pickled, so it can be sent to another process.

    Args:
        threads: Threads of one run; None: as many as the process may use (`favchat.runtime.threads`).
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = threads
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    def look(self, images: Sequence[NDArray[np.uint8]], landmarks: NDArray[np.floating]) -> Refined:
        """See where the landmarks are in N images (H, W, 3) uint8 RGB, near (N, 5, 2) in pixels.

        Raises:
            ValueError: The landmarks of a face coincide.
        """
        if self._session is None:
            self._session = onnx_session(str(NETWORK_FILE), self.threads)
        crops = np.empty((len(images), SIDE, SIDE, 3), dtype=np.uint8)
        for index, (image, points) in enumerate(zip(images, landmarks, strict=True)):
            crops[index] = align_face(image, points, size=SIDE, margin=MARGIN)
        shifts = np.empty((len(images), 5, 2), dtype=np.float64)
        faces = np.empty(len(images), dtype=np.float32)
        for begin in range(0, len(images), BATCH):
            part = slice(begin, begin + BATCH)
            batch = (crops[part].transpose(0, 3, 1, 2).astype(np.float32) - 128) / 64
            shifts[part], faces[part] = self._session.run(None, {"crops": batch})
        return Refined(shifts, faces, crops)


def moved(landmarks: NDArray[np.floating], shifts: NDArray[np.floating]) -> NDArray[np.float64]:
    """Landmarks in the image, by where they lie in the crops.

    Args:
        landmarks: (N, 5, 2) pixels of the image, by which the crops are aligned.
        shifts: (N, 5, 2) pixels of the crops off the template.

    Returns:
        (N, 5, 2) pixels of the image.
    """
    turns, origins = to_crop(landmarks, SIDE, MARGIN)
    places = (shifts + template_landmarks(SIDE, MARGIN)) @ _COMPLEX
    points = (places - origins[:, None]) / turns[:, None]
    return np.stack([points.real, points.imag], axis=-1)


def offsets(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 5, 2) pixels: how far landmarks (N, 5, 2) lie from the template in the crops that are aligned by them."""
    turns, origins = to_crop(landmarks, SIDE, MARGIN)
    places = turns[:, None] * (landmarks @ _COMPLEX) + origins[:, None]
    return np.stack([places.real, places.imag], axis=-1) - template_landmarks(SIDE, MARGIN)
