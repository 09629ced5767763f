"""A video whose frames lie in memory already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.file_info import VideoInfo
from favchat.video.frame_times import frames_on_display
from favchat.video.readers import IMAGE_FPS, FoundFrames


@dataclass(frozen=True)
class DecodedVideo:
    """Frames that follow each other at a steady rate.

    Attributes:
        images: (N, H, W, 3) uint8 RGB, upright.
        fps: Frames a second.
        name: What errors call it.
    """

    images: NDArray[np.uint8]
    fps: float = IMAGE_FPS
    name: str = "the decoded video"

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise ValueError(
                f"{self.name}: its frames are {self.images.dtype} of shape {self.images.shape}; need uint8 RGB of "
                "shape (frames, height, width, 3)"
            )
        if not len(self.images) or min(self.images.shape[1:3]) < 2 or not self.fps > 0:
            raise ValueError(f"{self.name}: need at least one frame of 2x2 pixels, and more than 0 frames a second")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, frames: Any, *, fps: float | None = None, name: str = "the decoded video") -> DecodedVideo:
        """Frames in any of the layouts that are in use.

        Args:
            frames: An array or tensor `(N, H, W, 3)` or `(N, 3, H, W)`, uint8 or floats in 0..1, or a list of images,
                PIL's among them.
            fps: Frames a second; by default those of a folder of images, 25.
            name: What errors call it.

        Raises:
            ValueError: The layout is another.
        """
        if isinstance(frames, Sequence):
            frames = np.stack([np.asarray(one.convert("RGB") if hasattr(one, "convert") else one) for one in frames])
        images = np.asarray(frames.detach().cpu() if hasattr(frames, "detach") else frames)
        if images.ndim == 4 and images.shape[3] != 3 and images.shape[1] == 3:
            images = images.transpose(0, 2, 3, 1)
        if np.issubdtype(images.dtype, np.floating):
            if images.size and not 0 <= images.min() <= images.max() <= 1:
                raise ValueError(f"{name}: floating-point frames must lie in 0..1; give uint8 otherwise")
            images = np.rint(images * 255).astype(np.uint8)
        return cls(np.ascontiguousarray(images), IMAGE_FPS if fps is None else float(fps), name)

    @property
    def info(self) -> VideoInfo:
        """What a file would say."""
        height, width = self.images.shape[1:3]
        return VideoInfo(
            width=width,
            height=height,
            fps=self.fps,
            duration=len(self.images) / self.fps,
            num_frames=len(self.images),
            rotation=0,
            codec="rawvideo",
            backend="memory",
        )

    def at(self, times: NDArray[np.float64], size: tuple[int, int]) -> FoundFrames:
        """The frames on display at `times` (N,), increasing, seconds, scaled to `size`, width and height."""
        begins = np.arange(len(self.images), dtype=np.float64) / self.fps
        index = frames_on_display(begins, times)
        images = [
            cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8) for image in self.images[index]
        ]
        return FoundFrames(images, begins[index].tolist())
