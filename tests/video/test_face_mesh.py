"""On faces of the sample clips: a woman who smiles with open eyes, and one who shuts them."""

import numpy as np
import pytest

from favchat.video.align import align_face, template_landmarks
from favchat.video.face_mesh import EYE_CORNERS, SIDE, eye_contours, face_mesh

NOSE_TIP, MOUTH = 1, (61, 291)
FIVE = ((33, 133), (362, 263), (NOSE_TIP,), (MOUTH[0],), (MOUTH[1],))
"""The mesh's points whose means are the five landmarks."""
UPPER_LID, LOWER_LID = 12, 4


@pytest.fixture(scope="module")
def crops(detector, woman, crying_woman):
    return np.stack(
        [align_face(image, detector.detect(image[None])[0].landmarks[0]) for image in (woman[0], crying_woman[0])]
    )


@pytest.fixture(scope="module")
def mesh(crops):
    return face_mesh(crops)


def corners_of(mesh):
    return mesh[:, np.array(EYE_CORNERS), :2]


def test_eyes_nose_and_mouth_of_the_mesh_lie_where_faces_are_aligned_to(mesh):
    assert mesh.shape == (2, 468, 3)
    five = np.stack([mesh[:, list(points), :2].mean(axis=1) for points in FIVE], axis=1)
    # A template fits nobody to the pixel.
    assert np.abs(five - template_landmarks(SIDE, 0.1)).max() < 16


def test_the_mesh_of_the_mirror_image_is_mirrored(crops, mesh):
    mirrored = face_mesh(crops[:, :, ::-1])
    for left, right in ((33, 263), (133, 362), MOUTH):
        there = mirrored[:, right, :2] * (-1, 1) + (SIDE - 1, 0)
        assert np.abs(there - mesh[:, left, :2]).max() < 4


def test_shut_eyes_have_lids_that_meet(crops, mesh):
    contours = eye_contours(crops, corners_of(mesh))
    assert contours.shape == (2, 2, 76, 2)
    openness = np.linalg.norm(contours[:, :, UPPER_LID] - contours[:, :, LOWER_LID], axis=-1)
    opened, shut = openness
    assert (shut < opened / 2).all()


def test_both_eyes_look_alike_in_their_own_frames(crops, mesh):
    left, right = eye_contours(crops[:1], corners_of(mesh)[:1])[0]
    assert np.abs(left[:16] - right[:16]).mean() < 0.1


def test_crops_of_any_size_give_the_same_points(crops, mesh):
    halves = crops.reshape(2, 80, 2, 80, 2, 3).mean(axis=(2, 4)).astype(np.uint8)
    assert np.abs(face_mesh(halves) - mesh)[..., :2].max() < 4


def test_eyes_without_width_are_no_error(crops):
    assert np.isfinite(eye_contours(crops[:1], np.full((1, 2, 2, 2), 90.0))).all()
