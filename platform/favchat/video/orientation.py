"""Rotation and mirroring that make stored frames upright."""

from __future__ import annotations

import struct
from typing import NamedTuple, cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray


class Orientation(NamedTuple):
    """One of the eight orientations of a rectangle.

    Attributes:
        rotation: Degrees clockwise by which stored frames must be rotated: 0, 90, 180 or 270.
        mirrored: Whether they must then be mirrored left to right.
    """

    rotation: int = 0
    mirrored: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright frame from those of the stored one, or vice versa."""
        return (height, width) if self.rotation % 180 else (width, height)

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Rotate and mirror a stored frame (H, W, 3)."""
        turned = np.rot90(image, -(self.rotation // 90))
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)


UPRIGHT = Orientation()


def orientation_of(frame: VideoFrame) -> Orientation:
    """The orientation in a frame's display matrix, as reported by FFmpeg; `UPRIGHT` without one.

    The matrix maps a stored point (x, y) to the displayed one (a x + c y, b x + d y), as in the track header of ISO/IEC
    14496-12. Rotations are rounded to the nearest right angle, since cameras write no others.
    """
    try:
        stored = cast(SideDataContainer, frame.side_data)["DISPLAYMATRIX"]  # PyAV's stubs name another type
    except KeyError:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(stored))
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        # Rotated by 0 or 180 degrees: the signs of a and d give horizontal and vertical flips.
        return Orientation(180 if d < 0 else 0, (a < 0) != (d < 0))
    return Orientation(90 if b > 0 else 270, (b < 0) == (c < 0))
