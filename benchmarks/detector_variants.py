"""Cheaper ways to find the faces of a clip, and what each changes: why a searched frame is searched whole, in float32.

    python benchmarks/detector_variants.py [VIDEO_OR_FOLDER...] [--every 2] [--out RESULT.md]

The frames of the videos (by default every second sample clip) are searched as `favchat prepare` does; each variant then
looks for the main face of the same frames:

- int8: the network by ONNX Runtime's static quantisation (activations and weights, a scale a channel), calibrated on
  every twelfth of these frames, which flatters it;
- crop, same scale: only a part of the picture, 1.6 times as wide as the face was in the frame before, in whole cells of
  32 pixels of the network's input;
- crop of 128 px: that part alone, scaled to 128x128;
- every second frame: the others by interpolation between their neighbours;
- followed: what `favchat prepare` does, every fourth frame searched and faces followed through the others
  (`favchat.video.sparse_detect`). Searched frames count among its landmarks, with no error.

Times are CPU seconds of the network alone, one frame a run on one thread; of "followed" all that it does, too.
Landmarks are compared on the aligned crop of 160 pixels, where faces are some 110 wide.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.backbones import assets
from favchat.config.data import FACE_MARGIN
from favchat.video import CenterFaceDetector, Detections, VideoError, read_frames
from favchat.video.align import face_geometry
from favchat.video.detect import MULTIPLE, _network_input
from favchat.video.landmark_refiner import LandmarkRefiner
from favchat.video.onnx_session import onnx_session
from favchat.video.sparse_detect import SparseDetector
from favchat.video.specification import SEARCHED
from jobs.quickstart import SAMPLE

CROP = 160
WIDER = 1.6
CALIBRATION = 12
Face = NDArray[np.float32]
"""(7, 2) pixels: two corners of the box, five landmarks."""


@dataclass
class Variant:
    """What a variant found."""

    name: str
    seconds: float = 0.0
    frames: int = 0
    missed: int = 0
    apart: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, found: Face | None, true: Face) -> None:
        """Compare one frame's face with the one that the whole search found."""
        self.frames += 1
        if found is None:
            self.missed += 1
            return
        side = float(face_geometry(true[2:], 1, 1)[2])
        scale = CROP / (side * (1 + FACE_MARGIN))
        self.apart.append(np.linalg.norm(found[2:] - true[2:], axis=1) * scale)

    def row(self, whole: float) -> str:
        """One line of the table."""
        apart = np.concatenate(self.apart)
        cells = [self.name, f"{1e3 * self.seconds / self.frames:.2f}", f"{whole / (self.seconds / self.frames):.2f}x"]
        cells += [f"{self.missed} of {self.frames}", f"{np.median(apart):.2f}", f"{np.percentile(apart, 95):.2f}"]
        return f"| {' | '.join(cells)} |"


class Network:
    """The detector's network on single pictures, with its CPU time."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._name = session.get_inputs()[0].name
        self._decode = CenterFaceDetector()._faces
        self.seconds = 0.0

    def faces(self, batch: NDArray[np.float32], scale: float) -> Detections:
        """The faces in (1, 3, h, w), in pixels of the picture that was scaled by `scale`."""
        began = time.process_time()
        maps = self._session.run(None, {self._name: batch})
        self.seconds += time.process_time() - began
        return self._decode(*(one[0] for one in maps), scale=scale, height=2**20, width=2**20)


def quantised(pictures: Sequence[NDArray[np.uint8]], side: int, folder: Path) -> Any:
    """A session of the network in int8."""
    import onnx
    from onnxruntime import quantization

    class Calibration(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = iter([{"input.1": _network_input(picture[None], side)[0]} for picture in pictures])

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._rows, None)

    # The published network is of opset 9, which has no scales by channel.
    newer = onnx.version_converter.convert_version(onnx.load(assets.path("centerface")), 17)
    onnx.save(newer, folder / "newer.onnx")
    quantization.quant_pre_process(folder / "newer.onnx", folder / "clean.onnx", skip_symbolic_shape=True)
    quantization.quantize_static(
        folder / "clean.onnx",
        folder / "int8.onnx",
        Calibration(),
        activation_type=quantization.QuantType.QUInt8,  # signed ones are slower
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
    )
    return onnx_session(str(folder / "int8.onnx"), 1)


def main_face(found: Detections) -> Face | None:
    """The face with the largest score times size."""
    if not len(found):
        return None
    sizes = np.sqrt(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))
    best = int(np.argmax(found.scores * sizes))
    return np.concatenate([found.boxes[best].reshape(2, 2), found.landmarks[best]])


def nearest(found: Detections, shift: NDArray[np.float64], true: Face) -> Face | None:
    """The found face nearest to the true one, moved by `shift`: another face is not this variant's fault."""
    if not len(found):
        return None
    points = np.concatenate([found.boxes.reshape(-1, 2, 2), found.landmarks], axis=1) + shift
    centres = np.linalg.norm(points[:, :2].mean(axis=1) - true[:2].mean(axis=0), axis=1)
    return points[int(np.argmin(centres))].astype(np.float32)


def same_scale(network: Network, image: NDArray[np.uint8], before: Face, true: Face, side: int) -> Face | None:
    """Search a part of the network's input."""
    batch, scale = _network_input(image[None], side)
    centre = before[:2].mean(axis=0) * scale
    half = (before[1] - before[0]).max() * scale * WIDER / 2
    limits = np.asarray(batch.shape[:1:-1])
    low = np.clip(np.floor((centre - half) / MULTIPLE) * MULTIPLE, 0, limits - MULTIPLE).astype(int)
    high = np.clip(np.ceil((centre + half) / MULTIPLE) * MULTIPLE, low + MULTIPLE, limits).astype(int)
    part = np.ascontiguousarray(batch[:, :, low[1] : high[1], low[0] : high[0]])
    return nearest(network.faces(part, scale), low / scale, true)


def scaled_crop(network: Network, image: NDArray[np.uint8], before: Face, true: Face, side: int) -> Face | None:
    """Search a square around the face, scaled to `side` pixels."""
    centre, length = before[:2].mean(axis=0), int(np.ceil((before[1] - before[0]).max() * WIDER))
    low = np.floor(centre - length / 2).astype(int)
    square = np.zeros((length, length, 3), np.uint8)
    height, width = image.shape[:2]
    (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(low + length, (width, height))
    square[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]] = image[y0:y1, x0:x1]
    small = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA if length > side else cv2.INTER_LINEAR)
    batch = small.transpose(2, 0, 1)[None].astype(np.float32)
    return nearest(network.faces(batch, side / length), low.astype(float), true)


def clips(paths: Sequence[Path], every: int) -> Iterator[NDArray[np.uint8]]:
    """The sampled frames of videos, without the unreadable ones."""
    files = [file for path in paths for file in (sorted(path.rglob("*.*")) if path.is_dir() else [path])]
    for file in files[::every]:
        try:
            yield read_frames(file, fps=8.0, max_frames=32, max_side=640).images
        except VideoError:
            continue


def compare(all_images: Sequence[NDArray[np.uint8]], side: int, folder: Path) -> list[str]:
    """The lines of the table."""
    whole = Network(onnx_session(str(assets.path("centerface")), 1))
    some = [image for images in all_images for image in images[::CALIBRATION]]
    small = Network(quantised(some, side, folder))
    names = ("int8", "crop, same scale", "crop of 128 px", "every second frame", "followed")
    following = SparseDetector(CenterFaceDetector(threads=1, batch_size=1), SEARCHED, LandmarkRefiner(threads=1))
    following.detect(np.zeros((2, MULTIPLE, MULTIPLE, 3), np.uint8))  # loads the network
    variants = {name: Variant(name) for name in names}
    networks = {"int8": small} | {name: Network(whole._session) for name in names[1:]}
    frames = 0
    for images in all_images:
        true = [main_face(whole.faces(*_network_input(image[None], side))) for image in images]
        frames += len(images)
        began = time.process_time()
        followed = following.detect(images)
        variants["followed"].seconds += time.process_time() - began
        for found, face in zip(followed, true, strict=True):
            if face is not None:
                variants["followed"].add(nearest(found, np.zeros(2), face), face)
        for number in range(1, len(images) - 1):
            before, face, after = true[number - 1 : number + 2]
            if before is None or face is None or after is None:
                continue
            image = images[number]
            int8 = networks["int8"].faces(*_network_input(image[None], side))
            variants["int8"].add(nearest(int8, np.zeros(2), face), face)
            ways: dict[str, tuple[Callable[..., Face | None], int]] = {
                "crop, same scale": (same_scale, side),
                "crop of 128 px": (scaled_crop, 128),
            }
            for name, (search, size) in ways.items():
                variants[name].add(search(networks[name], image, before, face, size), face)
            if number % 2:
                variants["every second frame"].add((before + after) / 2, face)
    mean = whole.seconds / frames
    for name in names[:3]:
        variants[name].seconds = networks[name].seconds
    variants["followed"].seconds *= variants["followed"].frames / frames
    variants["every second frame"].seconds = mean * variants["every second frame"].frames / 2
    return [f"| whole, float32 | {1e3 * mean:.2f} | 1.00x | | | |", *(one.row(mean) for one in variants.values())]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="*", type=Path, default=[SAMPLE / "clips"])
    parser.add_argument("--every", type=int, default=2, help="every so manieth video")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    images = list(clips(arguments.paths, arguments.every))
    lines = [
        "# Cheaper ways to find faces",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, onnxruntime {version('onnxruntime')}. {len(images)} videos, "
        f"{sum(map(len, images))} frames; one thread, CPU time.",
        "",
        "| | ms a frame | as fast | missed | landmarks, median (px) | 95 % (px) |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        lines += compare(images, CenterFaceDetector().max_side, Path(folder))
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
