from dataclasses import replace

import cv2
import numpy as np
import pytest

from favchat.video import duplicate_hash, hash_distance, measure, process_clip
from favchat.video.quality import DUPLICATE_DISTANCE, MODEL, head_pose


def seen(yaw=0.0, pitch=0.0, roll=0.0):
    """The canonical face turned, as five points in pixels, without perspective; the nose shows where it looks."""
    y, p, r = np.radians([yaw, pitch, roll])
    # In these axes (x right, y down, z away) looking right and looking up turn against the right-hand rule's sense.
    turn_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    turn_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (MODEL @ (turn_z @ turn_x @ turn_y).T)[:, :2] * 20 + 300


@pytest.mark.parametrize(
    "pose", [(0, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 25), (20, -10, 15)]
)
def test_poses_of_the_canonical_face_are_found(pose):
    np.testing.assert_allclose(head_pose(seen(*pose)[None])[0], pose, atol=1e-6)


def test_signs_are_those_one_sees():
    right, up, tilted = seen(yaw=25), seen(pitch=20), seen(roll=20)
    assert right[2, 0] > right[:2, 0].mean() + 20  # the nose goes to the right of the image
    rise = np.ptp(up[:, 1]) and (up[2, 1] - up[:2, 1].mean()) / (up[3:, 1].mean() - up[:2, 1].mean())
    level = seen()
    assert rise < (level[2, 1] - level[:2, 1].mean()) / (level[3:, 1].mean() - level[:2, 1].mean())
    assert tilted[1, 1] > tilted[0, 1]  # clockwise: the eye at the right of the image sinks


@pytest.fixture(scope="module")
def clip(sample_clips, detector):
    return process_clip(sample_clips / "pexels_4.mp4", detector, fps=4.0, max_frames=8)


def test_a_real_clip_is_measured(clip):
    quality = measure(clip)
    assert quality.face_share == 1.0 and 0.7 < quality.score < 1.0
    assert 120 < quality.face_size < 220 and 60 < quality.brightness < 110 and quality.sharpness > 200
    assert abs(quality.yaw) < 15 and abs(quality.pitch) < 10 and abs(quality.roll) < 10


def test_a_mirrored_and_a_turned_face(clip):
    points = clip.landmarks * (clip.info.width, clip.info.height)
    mirrored = points[:, [1, 0, 2, 4, 3]] * (-1, 1)
    np.testing.assert_allclose(head_pose(mirrored), head_pose(points) * (-1, 1, -1), atol=1e-3)
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(head_pose(points @ turn.T), head_pose(points) + (0, 0, 30), atol=1e-3)


def test_blur_and_darkness_show(clip):
    sharp = measure(clip)
    blurred = measure(replace(clip, faces=np.stack([cv2.GaussianBlur(face, (0, 0), 2) for face in clip.faces])))
    assert blurred.sharpness < 0.2 * sharp.sharpness and abs(blurred.brightness - sharp.brightness) < 2
    dark = measure(replace(clip, faces=clip.faces // 2))
    assert dark.brightness == pytest.approx(sharp.brightness / 2, abs=1)


def test_frames_without_the_face_count_for_the_share_alone(clip):
    visible = np.arange(len(clip.visible)) % 2 == 0
    shape = (-1, 1, 1, 1)
    half = replace(clip, visible=visible, scores=clip.scores * visible, faces=clip.faces * visible.reshape(shape))
    quality = measure(half)
    assert quality.face_share == visible.mean()
    assert quality.brightness == pytest.approx(measure(clip).brightness, abs=4)
    with pytest.raises(ValueError, match="visible in no frame"):
        measure(replace(clip, visible=np.zeros_like(visible)))


def test_a_copy_has_nearly_the_same_hash_and_another_clip_has_not(clip, sample_clips, detector):
    own = duplicate_hash(clip)
    assert len(own) == 96 and hash_distance(own, own) == 0

    def copy(image):
        small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        bright = cv2.convertScaleAbs(small, alpha=1.1, beta=15)
        return cv2.imdecode(cv2.imencode(".jpg", bright, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)

    copied = replace(clip, frames=np.stack([copy(image) for image in clip.frames]))
    assert hash_distance(own, duplicate_hash(copied)) <= DUPLICATE_DISTANCE
    for name in ("pexels_1.mp4", "franck_0.mp4"):
        other = process_clip(sample_clips / name, detector, fps=4.0, max_frames=8)
        assert hash_distance(own, duplicate_hash(other)) > DUPLICATE_DISTANCE


def test_the_face_tells_clips_apart_that_look_and_move_alike(clip, sample_clips, detector):
    other = process_clip(sample_clips / "pexels_1.mp4", detector, fps=4.0, max_frames=8)
    swapped = duplicate_hash(replace(clip, faces=other.faces, visible=other.visible))
    assert swapped[:64] == duplicate_hash(clip)[:64]
    assert hash_distance(swapped, duplicate_hash(clip)) > 24
    with pytest.raises(ValueError, match="visible in no frame"):
        duplicate_hash(replace(clip, visible=np.zeros_like(clip.visible)))


def test_clips_that_stand_still_are_told_apart_by_the_picture_alone(clip, sample_clips, detector):
    """Their movement says nothing, and three quarters of the bits would agree."""

    def still(moving, count):
        return replace(moving, frames=np.repeat(moving.frames[:1], count, axis=0), timestamps=np.arange(count) / 4)

    one = duplicate_hash(still(clip, 1))
    assert one == duplicate_hash(still(clip, 5))
    for name in ("pexels_1.mp4", "franck_0.mp4"):
        other = process_clip(sample_clips / name, detector, fps=4.0, max_frames=8)
        assert hash_distance(one, duplicate_hash(still(other, 1))) > DUPLICATE_DISTANCE
