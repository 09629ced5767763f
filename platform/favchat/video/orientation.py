"""How a stored picture has to be turned and mirrored to stand upright."""

from __future__ import annotations

import struct
from typing import NamedTuple, cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray


class Orientation(NamedTuple):
    """One of the eight ways in which a rectangle can lie.

    Attributes:
        rotation: Degrees clockwise by which the stored picture has to be turned: 0, 90, 180 or 270.
        mirrored: Whether it has to be mirrored left to right after that.
    """

    rotation: int = 0
    mirrored: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright picture from those of the stored one, and the other way round."""
        return (height, width) if self.rotation % 180 else (width, height)

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn and mirror a stored picture (H, W, 3)."""
        turned = np.rot90(image, -(self.rotation // 90))
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)


UPRIGHT = Orientation()


def orientation_of(frame: VideoFrame) -> Orientation:
    """What the display matrix says that FFmpeg hands on with a frame; `UPRIGHT` where there is none.

    The matrix takes a stored point (x, y) to the shown one (a x + c y, b x + d y), as in the track header of ISO/IEC
    14496-12. Turns by other than right angles are rounded to the nearest one, as no camera means them.
    """
    try:
        stored = cast(SideDataContainer, frame.side_data)["DISPLAYMATRIX"]  # PyAV's stubs name another type
    except KeyError:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(stored))
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        # Turned by half or not at all: left and right go where the sign of a says, up and down where that of d does.
        return Orientation(180 if d < 0 else 0, (a < 0) != (d < 0))
    return Orientation(90 if b > 0 else 270, (b < 0) == (c < 0))
