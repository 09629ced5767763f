"""Which of a clip's frames a model sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from favchat.video.clip import ProcessedClip
from favchat.video.face_measures import face_measures

NUM_FRAMES = 8
"""Frames that a model sees whose processor does not say how many."""


def picked_frames(count: int, wanted: int) -> np.ndarray:
    """Which of a clip's `count` frames a model sees that takes `wanted` of them, `(wanted,)`; those, all of them.

    They are the middles of equal parts: a lone frame is the middle one, and the ends, often a cut, are left out.
    """
    return ((np.arange(wanted) + 0.5) * count / wanted).astype(int)


def as_seen(clip: ProcessedClip, num_frames: int) -> ProcessedClip:
    """A clip with the pictures alone that a model of `num_frames` sees; all else of every frame stays."""
    picked = picked_frames(len(clip.visible), num_frames)
    measured = face_measures(clip.faces, clip.visible)  # of all of them
    return replace(clip, frames=clip.frames[picked], faces=clip.faces[picked], face_measures=measured)
