"""Clips of noise, and batches about them."""

from types import SimpleNamespace

import numpy as np
import pytest


def clip_of_noise(seed: int, frames: int = 6):
    rng = np.random.default_rng(seed)
    return SimpleNamespace(
        frames=rng.integers(0, 256, (frames, 48, 80, 3), dtype=np.uint8),
        faces=rng.integers(0, 256, (frames, 160, 160, 3), dtype=np.uint8),
        timestamps=np.arange(frames) / 8,
        landmarks=np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]])[None]
        + rng.normal(0, 0.01, (frames, 5, 2)),
        visible=np.ones(frames, dtype=bool),
    )


@pytest.fixture
def make_clip():
    """Makes clips of noise, another one for each seed."""
    return clip_of_noise


@pytest.fixture(scope="session")
def module_clip():
    """A clip of noise for fixtures that live longer than a test."""
    return clip_of_noise(0)


def batch_of(tiny, clips, questions, answers=None):
    """What a model is given: one question about each clip."""
    _, processor = tiny
    return processor(text=[processor.prompt(question) for question in questions], videos=clips, answers=answers)
