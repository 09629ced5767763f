"""On faces of the sample clips: a woman who smiles with open eyes, and one who shuts them."""

import cv2
import numpy as np
import pytest

from favchat.video.align import align_face
from favchat.video.mesh_features import EYES, MESH_FEATURES, SHAPE_FEATURES, mesh_features

LEAST, SPREAD = SHAPE_FEATURES, SHAPE_FEATURES + 1


@pytest.fixture(scope="module")
def crops(detector, woman, crying_woman):
    images = [*woman[:8], crying_woman[0]]
    return np.stack([align_face(image, detector.detect(image[None])[0].landmarks[0]) for image in images])


@pytest.fixture(scope="module")
def open_eyes(crops):
    return crops[:8]


@pytest.fixture(scope="module")
def blinking(crops):
    """The same clip with shut eyes in one frame, which is none of those whose mesh is taken."""
    clip = crops[:8].copy()
    clip[3][EYES] = crops[8][EYES]
    return clip


def features(faces, seen=None):
    return mesh_features(faces, np.ones(len(faces), bool) if seen is None else np.asarray(seen))


def test_eyes_that_shut_in_one_frame_of_eight_blink(open_eyes, blinking):
    still, blink = features(open_eyes), features(blinking)
    assert blink[LEAST] < still[LEAST] - 0.25
    assert blink[SPREAD] > still[SPREAD] + 0.05


def test_a_blink_leaves_the_shape_as_it_is(open_eyes, blinking):
    assert np.allclose(features(open_eyes)[:SHAPE_FEATURES], features(blinking)[:SHAPE_FEATURES], atol=1e-4)


def test_shapes_of_the_training_clips_have_unit_variance_and_so_do_not_stray_far(open_eyes):
    shape = features(open_eyes)[:SHAPE_FEATURES]
    assert shape.shape == (SHAPE_FEATURES,)
    assert shape.dtype == np.float32
    assert 0.3 < np.sqrt((shape**2).mean()) < 4


def test_two_frames_of_one_face_are_closer_than_two_faces(crops):
    first, later, other = (features(crops[[place]])[:SHAPE_FEATURES] for place in (0, 7, 8))
    assert np.linalg.norm(first - later) < np.linalg.norm(first - other) / 2


def test_a_face_that_is_never_seen_measures_nothing(open_eyes):
    nothing = features(open_eyes, [False] * 8)
    assert nothing.shape == (MESH_FEATURES,)
    assert (nothing == 0).all()


def test_frames_without_the_face_are_left_out(open_eyes):
    black = open_eyes.copy()
    black[5] = 0
    seen = np.arange(8) != 5
    assert np.allclose(features(black, seen), features(open_eyes[seen]))


def test_one_frame_has_a_shape_and_no_blink(open_eyes):
    lone = features(open_eyes[:1])
    assert np.abs(lone[:SHAPE_FEATURES]).max() > 0
    assert lone[LEAST:].tolist() == [0, 0]


def test_crops_of_another_size_are_scaled(open_eyes):
    smaller = np.stack([cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA) for crop in open_eyes])
    assert np.abs(features(smaller) - features(open_eyes)).mean() < 0.3
