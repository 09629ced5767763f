"""A video with some of its frames hidden from the model, to see what depends on them.

Shapes: T frames that the model sees, R rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

BY_FRAME = ("vision_features", "face_features", "face_visible", "face_geometry")
"""Inputs of `get_video_features` that each frame has of its own; when it was shown stays what it was."""


def hide_frames(video: Mapping[str, Tensor], hidden: Sequence[Collection[int]]) -> dict[str, Tensor]:
    """Hide frames of a video: each is replaced by the nearest one in time that is not hidden.

    So all that the model reads is of a kind that it knows, and the number of its tokens stays. Of the ways that were
    tried this one agrees best with cutting the frames out of the video (docs/choices.md). The motion of the head is
    measured over all sampled frames of the track, more than the model sees, and stays.

    Args:
        video: Features of one video, `(1, T, ...)` each, and what goes with them, for `get_video_features`.
        hidden: For each of R rows the numbers of the frames to hide; none, for the video as it is.

    Returns:
        The same inputs, `(R, ...)` each.

    Raises:
        ValueError: All frames of a row are hidden.
    """
    times = video["frame_times"][0]  # (T,)
    sources = torch.stack([nearest_shown(times, frames) for frames in hidden])  # (R, T)
    return {
        name: tensor[0][sources] if name in BY_FRAME else tensor.expand(len(hidden), *tensor.shape[1:])
        for name, tensor in video.items()
    }


def nearest_shown(times: Tensor, hidden: Collection[int]) -> Tensor:
    """For each of T frames at `times` `(T,)` seconds the frame `(T,)` that takes its place: itself if not hidden."""
    shown = torch.tensor([number for number in range(len(times)) if number not in hidden], device=times.device)
    if not len(shown):
        raise ValueError("all frames are hidden")
    sources = torch.arange(len(times), device=times.device)
    for number in hidden:
        sources[number] = shown[(times[shown] - times[number]).abs().argmin()]
    return sources
