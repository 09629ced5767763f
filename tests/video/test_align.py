import cv2
import numpy as np
import pytest

from favchat.video.align import FACE_CENTRE, TEMPLATE, align_face, face_geometry


def turned(degrees, scale, shift):
    """The template, turned clockwise on screen about its face centre, scaled, its face centre moved to `shift`."""
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (TEMPLATE - FACE_CENTRE) @ rotation.T * scale + shift


@pytest.mark.parametrize("degrees", [0, 30, -45, 90])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_landmarks_land_on_the_template_whatever_the_pose(degrees, scale):
    landmarks = turned(degrees, scale, (300.0, 260.0))
    image = np.zeros((520, 600, 3), dtype=np.uint8)
    for channel, point in zip((0, 1, 2), landmarks[[0, 1, 3]], strict=True):
        dot = np.zeros(image.shape[:2], dtype=np.uint8)
        centre = np.round((point - 0.5) * 16).astype(int).tolist()
        cv2.circle(dot, centre, round(4 * scale * 16), 255, -1, cv2.LINE_AA, 4)
        image[..., channel] = dot
    crop = align_face(image, landmarks, size=224, margin=1.0)
    rows, columns = np.mgrid[:224, :224]
    for channel, point in zip((0, 1, 2), TEMPLATE[[0, 1, 3]], strict=True):
        weight = crop[..., channel].astype(float)
        centre = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(centre, point - FACE_CENTRE + 112 - 0.5, atol=0.8)


def test_margin_widens_the_crop():
    image = np.zeros((400, 400, 3), dtype=np.uint8)
    image[100:300, 100:300] = 255
    landmarks = turned(0, 1.0, (200.0, 200.0))
    assert align_face(image, landmarks, margin=0.25).min() == 255  # 140 pixels wide, inside the white
    wide = align_face(image, landmarks, margin=1.0)  # 224 pixels wide, beyond it
    assert (
        wide.shape == (160, 160, 3) and wide.dtype == np.uint8 and wide[0, 0].max() == 0 and wide[80, 80].min() == 255
    )


def test_large_faces_are_averaged_not_aliased():
    stripes = np.zeros((1200, 1200, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop = align_face(stripes, turned(0, 8.0, (600.0, 600.0)), size=112, margin=0.0)
    assert crop.astype(float).std() < 5


def test_geometry_says_where_the_face_was():
    geometry = face_geometry(turned(30, 2.0, (320.0, 90.0)), 640, 360)
    np.testing.assert_allclose(geometry, [0.5, 0.25, 224 / 640, 30 / 180], atol=1e-4)
    assert geometry.dtype == np.float32


def test_landmarks_on_one_point_are_refused():
    with pytest.raises(ValueError, match="one point"):
        align_face(np.zeros((10, 10, 3), dtype=np.uint8), np.ones((5, 2)))
    with pytest.raises(ValueError, match="size"):
        align_face(np.zeros((10, 10, 3), dtype=np.uint8), TEMPLATE, size=0)
