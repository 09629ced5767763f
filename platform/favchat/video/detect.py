"""Detection of faces and their five landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.onnx_session import onnx_session

STRIDE = 4
"""Pixels of the network's input for one cell of its output."""
MULTIPLE = 32
"""The network halves its input five times."""
SPARSE = 4
"""Of images that all show no large face, every so manieth is searched for small ones first."""
OVERLAP = 0.3
"""Intersection over union from which the weaker of two boxes is dropped."""


@dataclass(frozen=True)
class Detections:
    """The faces of one image, best first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels.
        landmarks: (N, 5, 2) float32, x y in pixels: left eye, right eye, nose tip, left and right corner of the mouth;
            left and right as seen in the image.
        scores: (N,) float32, 0..1.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.scores)


class FaceDetector(Protocol):
    """Interface of face detectors."""

    def detect(self, images: NDArray[np.uint8]) -> list[Detections]:
        """Detect the faces in (T, H, W, 3) uint8 RGB images: T results."""
        ...


class CenterFaceDetector:
    """CenterFace (Xu et al. 2020, arXiv 1911.03599) on ONNX Runtime.

    The network is loaded at the first call. Only settings are pickled, so a detector can be sent to another process.

    Args:
        model_path: The network; None takes the asset "centerface".
        min_score: Minimum score, 0..1.
        max_side: Larger images are scaled down to this longest side in pixels. A face must then be about 24 pixels
            high to be detected.
        second_side: Images without a detection are searched again at this longest side, for small faces; at most
            `max_side` for a single pass. If none of the images has a detection, every fourth is searched first, and the
            others only if that finds a face: a search at this side takes four times as long as the first.
        batch_size: Images in one run of the network.
        threads: Threads of one run; None: as many as the process may use (`favchat.runtime.threads`).
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        min_score: float = 0.5,
        max_side: int = 320,
        second_side: int = 640,
        batch_size: int = 4,
        threads: int | None = None,
    ) -> None:
        if not 0.0 < min_score < 1.0:
            raise ValueError(f"min_score = {min_score:g}: must lie between 0 and 1")
        if max_side < MULTIPLE or batch_size < 1 or (threads is not None and threads < 1):
            raise ValueError(
                f"max_side = {max_side}, batch_size = {batch_size}, threads = {threads}: "
                f"need at least {MULTIPLE}, 1 and 1"
            )
        self.model_path = model_path
        self.min_score = min_score
        self.max_side = max_side
        self.second_side = second_side
        self.batch_size = batch_size
        self.threads = threads
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    def detect(self, images: NDArray[np.uint8]) -> list[Detections]:
        """Detect the faces in (T, H, W, 3) uint8 RGB images: T results, coordinates in pixels of `images`.

        Raises:
            ValueError: `images` has another shape or type.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images: (T, H, W, 3) uint8 expected, got {images.shape} {images.dtype}")
        found = self._search(images, self.max_side)
        if min(self.second_side, max(images.shape[1:3])) > self.max_side:
            missed = [index for index, faces in enumerate(found) if not len(faces)]
            first = missed[::SPARSE] if len(missed) == len(found) else missed
            if self._search_again(images, first, found):
                self._search_again(images, sorted(set(missed) - set(first)), found)
        return found

    def _search_again(self, images: NDArray[np.uint8], chosen: list[int], found: list[Detections]) -> bool:
        """Search some of the images at `second_side` and put the faces into `found`; whether there are any."""
        for index, faces in zip(chosen, self._search(images[chosen], self.second_side), strict=True):
            found[index] = faces
        return any(len(found[index]) for index in chosen)

    def _search(self, images: NDArray[np.uint8], max_side: int) -> list[Detections]:
        """Detect faces in (T, H, W, 3) images scaled down to a longest side of `max_side`."""
        if self._session is None:
            self._session = self._load()
        name = self._session.get_inputs()[0].name
        found: list[Detections] = []
        for begin in range(0, len(images), self.batch_size):
            batch, scale = _network_input(images[begin : begin + self.batch_size], max_side)
            for maps in zip(*self._session.run(None, {name: batch}), strict=True):
                found.append(self._faces(*maps, scale=scale, height=images.shape[1], width=images.shape[2]))
        return found

    def _load(self) -> Any:
        from favchat.backbones import assets

        path = Path(self.model_path) if self.model_path is not None else assets.path("centerface")
        if not path.is_file():
            raise ValueError(f"{path}: no such detector model")
        return onnx_session(str(path), self.threads)

    def _faces(
        self,
        heat: NDArray[np.float32],
        log_size: NDArray[np.float32],
        offset: NDArray[np.float32],
        points: NDArray[np.float32],
        *,
        scale: float,
        height: int,
        width: int,
    ) -> Detections:
        """Decode faces from the network's maps: (1, h, w) score, (2, h, w) size and offset, (10, h, w) landmarks.

        Size, offset and landmarks are y before x. Landmarks are relative to the box, from its top left corner.
        """
        row, column = np.nonzero(heat[0] > self.min_score)
        scores = heat[0, row, column]
        sizes = np.exp(log_size[:, row, column].T[:, ::-1]) * STRIDE
        centres = (np.stack([column, row], axis=1) + offset[:, row, column].T[:, ::-1] + 0.5) * STRIDE
        corners = centres - sizes / 2
        rectangles = np.concatenate([corners, sizes], axis=1).tolist()
        kept = cv2.dnn.NMSBoxes(rectangles, scores.tolist(), self.min_score, OVERLAP)
        keep = np.asarray(kept, dtype=np.intp).reshape(-1)
        corners, sizes = corners[keep], sizes[keep]
        shares = points[:, row[keep], column[keep]].T.reshape(-1, 5, 2)[:, :, ::-1]
        landmarks = (corners[:, None] + shares * sizes[:, None]) / scale
        boxes = np.concatenate([corners, corners + sizes], axis=1) / scale
        boxes = np.clip(boxes, 0, np.asarray([width, height, width, height]))
        return Detections(boxes.astype(np.float32), landmarks.astype(np.float32), scores[keep].astype(np.float32))


def _network_input(images: NDArray[np.uint8], max_side: int) -> tuple[NDArray[np.float32], float]:
    """(B, 3, h, w) float32 0..255, padded below and right to multiples of 32, and the scale from image to input."""
    height, width = images.shape[1:3]
    scale = min(1.0, max_side / max(height, width))
    inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
    outer_h, outer_w = (-(-side // MULTIPLE) * MULTIPLE for side in (inner_h, inner_w))
    batch = np.zeros((len(images), 3, outer_h, outer_w), dtype=np.float32)
    for index, image in enumerate(images):
        small = cv2.resize(image, (inner_w, inner_h), interpolation=cv2.INTER_AREA) if scale < 1.0 else image
        batch[index, :, :inner_h, :inner_w] = small.transpose(2, 0, 1)
    return batch, scale
