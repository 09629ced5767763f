import numpy as np
import pytest

from favchat.video import Detections, VideoError, process_clip, process_tracks
from favchat.video.align import FACE_CENTRE, TEMPLATE

NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


class Scripted:
    """A detector that knows beforehand in which frames it finds the one face."""

    def __init__(self, hits):
        self.hits = hits

    def detect(self, images):
        height, width = images.shape[1:3]
        points = (TEMPLATE - FACE_CENTRE) * 0.3 + (width / 2, height / 2)
        box = np.array([[width / 2 - 15, height / 2 - 20, width / 2 + 15, height / 2 + 20]], np.float32)
        face = Detections(box, points[None].astype(np.float32), np.ones(1, np.float32))
        return [face if index in self.hits else NOTHING for index in range(len(images))]


def test_a_real_clip_gives_upright_faces(sample_clips, detector):
    clip = process_clip(sample_clips / "pexels_4.mp4", detector, fps=2.0)
    count = len(clip.timestamps)
    assert count >= 4 and clip.visible.all() and (clip.scores > 0.5).all()
    assert clip.frames.shape[0] == count and max(clip.frames.shape[1:3]) == 256 and clip.frames.shape[3] == 3
    assert clip.faces.shape == (count, 160, 160, 3)
    assert clip.boxes.shape == (count, 4) and clip.boxes.dtype == np.float32
    assert clip.boxes.min() >= 0 and clip.boxes.max() <= 1
    assert clip.landmarks.shape == (count, 5, 2) and clip.landmarks.dtype == np.float32
    for faces in detector.detect(clip.faces):
        left_eye, right_eye = faces.landmarks[0, :2]
        roll = np.degrees(np.arctan2(right_eye[1] - left_eye[1], right_eye[0] - left_eye[0]))
        assert abs(roll) < 8
        assert np.abs((left_eye + right_eye) / 2 - (80, 65)).max() < 12


def test_frames_without_the_face_are_black_and_zero(write_video):
    clip = process_clip(write_video(), Scripted({0, 1, 2}), fps=8.0, min_share=0.2)
    assert clip.visible.tolist() == [True] * 3 + [False] * 5
    assert clip.faces[:3].min(axis=(1, 2, 3)).all() and not clip.faces[3:].any()
    assert not clip.boxes[3:].any() and not clip.landmarks[3:].any() and not clip.scores[3:].any()
    np.testing.assert_allclose(clip.boxes[0], [33 / 96, 12 / 64, 63 / 96, 52 / 64], atol=1e-5)


def test_sizes_are_those_asked_for(write_video):
    clip = process_clip(write_video(), Scripted(range(99)), fps=2.0, decode_side=80, frame_side=48, face_size=64)
    assert clip.frames.shape == (2, 32, 48, 3) and clip.faces.shape == (2, 64, 64, 3)


def test_no_face_is_a_video_error(write_video):
    with pytest.raises(VideoError) as caught:
        process_clip(write_video(), Scripted(set()), fps=8.0)
    assert caught.value.stage == "track" and caught.value.reason == "no face found in any of the 8 sampled frames"


def test_too_little_face_is_a_video_error(write_video):
    with pytest.raises(VideoError) as caught:
        process_clip(write_video(), Scripted({3}), fps=8.0)
    assert caught.value.reason == "a face is visible in 12 % of the frames, fewer than faces.min_share = 30 %"
    with pytest.raises(ValueError, match="min_share"):
        process_clip(write_video(), Scripted({3}), min_share=3.0)


class Pair:
    """A detector that finds a large face at the left and a smaller one at the right of every frame."""

    def detect(self, images):
        points = (TEMPLATE - FACE_CENTRE)[None] * 0.2
        centres = np.array([[[25, 32]], [[75, 32]]])
        half = np.array([[20, 20], [10, 10]])
        boxes = np.concatenate([centres[:, 0] - half, centres[:, 0] + half], axis=1).astype(np.float32)
        face = Detections(boxes, (centres + points).astype(np.float32), np.ones(2, np.float32))
        return [face] * len(images)


def test_several_faces_and_the_annotated_one(write_video):
    path = write_video()
    assert process_clip(path, Pair()).boxes[0, 0] == pytest.approx(5 / 96, abs=1e-3)
    both = process_tracks(path, Pair(), max_tracks=4)
    assert [round(float(clip.boxes[0, 0] * 96)) for clip in both] == [5, 65]
    assert both[0].frames is both[1].frames and both[0].shot == (0.0, both[0].info.duration) and both[0].cuts == ()
    (other,) = process_tracks(path, Pair(), box=(0.6, 0.2, 0.95, 0.8), max_tracks=4)
    assert other.boxes[0, 0] == pytest.approx(65 / 96, abs=1e-3)
    (other,) = process_tracks(path, Pair(), box=(58, 13, 100, 51), max_tracks=4)  # in pixels of 96 x 64
    assert other.boxes[0, 0] == pytest.approx(65 / 96, abs=1e-3)
    with pytest.raises(VideoError, match="overlaps the annotated box"):
        process_clip(path, Pair(), box=(0.9, 0.9, 1.0, 1.0))


@pytest.mark.parametrize("settings", [{"max_tracks": 0}, {"box": (0.5, 0.0, 0.5, 1.0)}, {"box": (0.0, 1.0)}])
def test_settings_of_tracks_are_checked(write_video, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        process_tracks(write_video(), Pair(), **settings)
