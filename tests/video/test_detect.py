import pickle

import cv2
import numpy as np
import pytest

from favchat.video import CenterFaceDetector, Detections, read_frames


@pytest.fixture(scope="module")
def face_frames(sample_clips):
    return read_frames(sample_clips / "pyfeat_0.mp4", max_frames=4, max_side=640).images


def test_finds_the_face_and_its_landmarks(detector, face_frames):
    for faces in detector.detect(face_frames):
        assert len(faces) == 1 and faces.scores[0] > 0.7
        x1, y1, x2, y2 = faces.boxes[0]
        assert 0 <= x1 < x2 <= face_frames.shape[2] and 0 <= y1 < y2 <= face_frames.shape[1]
        left_eye, right_eye, nose, left_mouth, right_mouth = faces.landmarks[0]
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        assert faces.boxes.dtype == faces.landmarks.dtype == faces.scores.dtype == np.float32
        assert np.all((faces.landmarks[0] > (x1, y1)) & (faces.landmarks[0] < (x2, y2)))


def test_finds_nothing_where_no_face_is(detector, sample_clips):
    images = read_frames(sample_clips / "noface_0.mp4", max_frames=3, max_side=320).images
    assert [len(faces) for faces in detector.detect(images)] == [0, 0, 0]
    assert detector.detect(images[:0]) == []


def test_batches_do_not_change_the_result(detector, face_frames):
    one_by_one = CenterFaceDetector(batch_size=1).detect(face_frames)
    for a, b in zip(detector.detect(face_frames), one_by_one, strict=True):
        np.testing.assert_allclose(a.boxes, b.boxes, atol=0.1)


def test_coordinates_are_those_of_the_image_not_of_the_network(detector, face_frames):
    twice = np.stack([cv2.resize(image, None, fx=2, fy=2) for image in face_frames[:1]])
    small, large = detector.detect(face_frames[:1])[0], detector.detect(twice)[0]
    side = small.boxes[0, 2] - small.boxes[0, 0]
    np.testing.assert_allclose(large.boxes[0] / 2, small.boxes[0], atol=0.1 * side)


def test_two_faces_come_best_first(detector, face_frames):
    both = np.concatenate([face_frames[:1], face_frames[:1, :, ::-1]], axis=2)
    faces = detector.detect(both)[0]
    assert len(faces) == 2 and faces.scores[0] >= faces.scores[1]


def test_a_second_look_finds_small_faces(detector, face_frames):
    image = face_frames[0]
    height = float(np.diff(detector.detect(face_frames[:1])[0].boxes[0, [1, 3]])[0])
    small = cv2.resize(image, None, fx=32 / height, fy=32 / height, interpolation=cv2.INTER_AREA)
    picture = np.full((1, 480, 640, 3), 110, dtype=np.uint8)
    picture[0, 40 : 40 + small.shape[0], 50 : 50 + small.shape[1]] = small
    assert len(CenterFaceDetector(max_side=160, second_side=160).detect(picture)[0]) == 0
    assert len(CenterFaceDetector(max_side=160, second_side=640).detect(picture)[0]) == 1


@pytest.mark.parametrize(
    ("faces", "searched"),
    [
        ([], [0, 4, 8]),
        ([4], [*range(10)]),  # a small face in an image of the first look
        ([5], [0, 4, 8]),
        ([3, "large"], [*range(9)]),  # a large face: the others are all searched again
    ],
)
def test_of_images_without_large_faces_every_fourth_is_searched_first(monkeypatch, faces, searched):
    nothing = Detections(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0))
    one = Detections(np.ones((1, 4)), np.ones((1, 5, 2)), np.ones(1))
    again = []

    def search(images, side):
        numbers = [int(image[0, 0, 0]) for image in images]
        if side == 320:
            return [one if number == 9 and "large" in faces else nothing for number in numbers]
        again.extend(numbers)
        return [one if number in faces else nothing for number in numbers]

    detector = CenterFaceDetector()
    monkeypatch.setattr(detector, "_search", search)
    images = np.zeros((10, 640, 640, 3), np.uint8) + np.arange(10, dtype=np.uint8)[:, None, None, None]
    found = detector.detect(images)
    assert sorted(again) == searched and len(again) == len(set(again))
    seen = [number for number in faces if number in searched] + [9] * ("large" in faces)
    assert [index for index, one in enumerate(found) if len(one)] == seen


def test_pickles_with_and_without_a_running_network(detector, face_frames):
    fresh = pickle.loads(pickle.dumps(CenterFaceDetector(min_score=0.6)))  # noqa: S301 - it was pickled right here
    assert fresh.min_score == 0.6
    detector.detect(face_frames[:1])
    copy = pickle.loads(pickle.dumps(detector))  # noqa: S301 - it was pickled right here
    assert len(copy.detect(face_frames[:1])[0]) == 1


@pytest.mark.parametrize("settings", [{"min_score": 0.0}, {"max_side": 16}, {"batch_size": 0}, {"threads": 0}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        CenterFaceDetector(**settings)


def test_wrong_images_and_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        CenterFaceDetector().detect(np.zeros((1, 64, 64, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="no such detector model"):
        CenterFaceDetector(tmp_path / "none.onnx").detect(np.zeros((1, 64, 64, 3), dtype=np.uint8))
