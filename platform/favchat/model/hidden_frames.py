"""A video with some of its frames hidden from the model, to see what depends on them.

Shapes: T frames that the model sees, R rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

OF_FACE = ("face_features", "face_geometry")
"""Inputs of `get_video_features` that a frame has where its face is visible."""


def hide_frames(video: Mapping[str, Tensor], hidden: Sequence[Collection[int]]) -> dict[str, Tensor]:
    """Hide frames of a video: each shows the mean of those that are not hidden.

    So the number of the video's tokens stays. Of the ways that were tried this one agrees best with cutting the frames
    out of the video (docs/choices.md). The motion of the head is measured over all sampled frames of the track, more
    than the model sees, and stays, as does the time of each frame.

    Args:
        video: Features of one video, `(1, T, ...)` each, and what goes with them, for `get_video_features`.
        hidden: For each of R rows the numbers of the frames to hide; none, for the video as it is.

    Returns:
        The same inputs, `(R, ...)` each.

    Raises:
        ValueError: All frames of a row are hidden.
    """
    rows = {name: tensor.repeat(len(hidden), *[1] * (tensor.ndim - 1)) for name, tensor in video.items()}
    visible = video["face_visible"][0]  # (T,)
    for row, frames in enumerate(hidden):
        if not frames:
            continue
        gone = torch.zeros_like(visible)
        gone[list(frames)] = True
        if gone.all():
            raise ValueError("all frames are hidden")
        shown, seen = ~gone, ~gone & visible
        rows["vision_features"][row, gone] = video["vision_features"][0, shown].mean(dim=0)
        if seen.any():
            for name in OF_FACE:
                rows[name][row, gone] = video[name][0, seen].mean(dim=0)
        else:  # no face is left to be shown
            rows["face_visible"][row, gone] = False
    return rows
