import numpy as np
import pytest

from favchat.video.align import TEMPLATE
from favchat.video.motion import MOTION_FEATURES, motion_features

TIMES = np.arange(16) / 8


def track(dx=0.0, dy=0.0, size=1.0, width=320, height=240) -> np.ndarray:
    """Landmarks `(16, 5, 2)` of a face that moves by so many of its own sizes, as shares of the frame."""
    moved = [
        (TEMPLATE * size + np.array([60 + shift_x * 112 * size, 40 + shift_y * 112 * size])) / (width, height)
        for shift_x, shift_y in zip(np.broadcast_to(dx, 16), np.broadcast_to(dy, 16), strict=True)
    ]
    return np.stack(moved)


def measure(landmarks: np.ndarray, visible=None, width=320, height=240) -> np.ndarray:
    seen = np.ones(len(landmarks), bool) if visible is None else visible
    return motion_features(landmarks, seen, TIMES[: len(landmarks)], width, height)


def test_a_face_at_rest_has_no_motion():
    found = measure(track())
    assert found.shape == (MOTION_FEATURES,)
    assert np.abs(np.delete(found, -1)).max() < 1e-4  # the last one is where the nose is


def test_a_nod_moves_up_and_down_and_a_shake_from_side_to_side():
    wave = 0.2 * np.sin(2 * np.pi * 2 * TIMES)
    nod, shake = measure(track(dy=wave)), measure(track(dx=wave))
    assert nod[4:8] == pytest.approx(shake[0:4], abs=1e-4)
    assert np.abs(nod[0:3]).max() < 1e-4
    assert np.abs(shake[4:7]).max() < 1e-4
    assert nod[4] > 1


def test_place_size_and_frame_do_not_count():
    wave = 0.2 * np.sin(2 * np.pi * 2 * TIMES)
    small = measure(track(dy=wave, size=0.5, width=640, height=640), width=640, height=640)
    assert small == pytest.approx(measure(track(dy=wave)), abs=1e-3)


def test_frames_without_the_face_are_left_out():
    wave = 0.2 * np.sin(2 * np.pi * 2 * TIMES)
    landmarks, visible = track(dy=wave), np.ones(16, bool)
    landmarks[5], visible[5] = 0, False
    assert measure(landmarks, visible) == pytest.approx(measure(track(dy=wave)), abs=0.35)
    visible[1:] = False
    assert not measure(landmarks, visible).any()
