"""Faces that are searched in some frames and followed through the others."""

import pickle

import cv2
import numpy as np
import pytest

from favchat.video import Detections, read_frames
from favchat.video.align import face_geometry
from favchat.video.landmark_refiner import LandmarkRefiner
from favchat.video.sparse_detect import SparseDetector

NOBODY = Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


class Counting:
    """A detector that notes how many images it was shown."""

    def __init__(self, detector) -> None:
        self.detector, self.shown = detector, 0

    def detect(self, images):
        self.shown += len(images)
        return self.detector.detect(images)


@pytest.fixture
def counting(detector) -> Counting:
    return Counting(detector)


def frames(path, *, most: int = 13, fps: float = 8.0) -> np.ndarray:
    return read_frames(path, fps=fps, max_frames=most, max_side=640).images


def apart(found: Detections, true: Detections) -> np.ndarray:
    """How far the best face's landmarks lie from the true ones, in pixels of a crop of 160."""
    side = float(face_geometry(true.landmarks[0], 1, 1)[2])
    return np.linalg.norm(found.landmarks[0] - true.landmarks[0], axis=1) * 160 / (1.1 * side)


@pytest.mark.parametrize("name", ["pyfeat_0", "pexels_0", "capture_0"])
def test_followed_faces_lie_where_the_detector_finds_them(name, detector, counting, sample_clips) -> None:
    images = frames(sample_clips / f"{name}.mp4")
    found, true = SparseDetector(counting, 4).detect(images), detector.detect(images)
    assert counting.shown < 0.7 * len(images)
    assert [len(faces) for faces in found] == [len(faces) for faces in true]
    errors = np.concatenate([apart(*pair) for pair in zip(found, true, strict=True)])
    assert np.median(errors) < 1 and np.percentile(errors, 95) < 3
    for faces, others in zip(found, true, strict=True):
        side = np.diff(others.boxes[0].reshape(2, 2), axis=0).mean()
        np.testing.assert_allclose(faces.boxes[0], others.boxes[0], atol=0.12 * side)
        np.testing.assert_allclose(faces.scores[0], others.scores[0], atol=0.2)
        assert faces.boxes.dtype == faces.landmarks.dtype == faces.scores.dtype == np.float32


def test_two_faces_are_followed_and_come_best_first(counting, sample_clips) -> None:
    images = frames(sample_clips / "pyfeat_0.mp4", most=5)
    both = np.concatenate([images, images[:, :, ::-1]], axis=2)
    found = SparseDetector(counting, 4).detect(both)
    assert counting.shown < 5
    assert [len(faces) for faces in found] == [2] * 5
    assert all(faces.scores[0] >= faces.scores[1] for faces in found)
    width = both.shape[2]
    for faces in found:
        left, right = sorted(faces.landmarks[:, 2, 0])
        assert left + right == pytest.approx(width, abs=0.02 * width)


def test_frames_are_searched_where_a_face_is_covered_comes_or_goes(detector, counting, sample_clips) -> None:
    images = frames(sample_clips / "pyfeat_0.mp4", most=9).copy()
    images[2] = cv2.GaussianBlur(images[2], (0, 0), 40)  # nothing to be seen between two frames with the face
    images[6:] = 110  # gone
    found, true = SparseDetector(counting, 4).detect(images), detector.detect(images)
    assert [len(faces) for faces in found] == [len(faces) for faces in true]
    assert len(true[2]) == len(true[7]) == 0 and len(true[5]) == 1


def test_where_the_whole_picture_changes_all_frames_are_searched(counting, sample_clips) -> None:
    images = frames(sample_clips / "pyfeat_0.mp4", most=5).copy()
    images[2] = images[2, ::-1]
    SparseDetector(counting, 4).detect(images)
    assert counting.shown == 5


class Scripted:
    """A detector that finds the same faces in each image, turned by so much from one image to the next."""

    def __init__(self, *faces: np.ndarray, turn: float = 0.0) -> None:
        self.faces, self.turn, self.shown = faces, turn, 0

    def detect(self, images):
        found = []
        for number in range(len(images)):
            angle = self.turn * number
            matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            points = np.stack([(face - face.mean(axis=0)) @ matrix + face.mean(axis=0) for face in self.faces])
            boxes = np.concatenate([points.min(axis=1) - 20, points.max(axis=1) + 20], axis=1)
            scores = np.full(len(points), 0.9, np.float32)
            found.append(Detections(boxes.astype(np.float32), points.astype(np.float32), scores))
        self.shown += len(images)
        return found


SHAPE = np.array([[70.0, 90], [130, 90], [100, 120], [80, 150], [120, 150]])


@pytest.mark.parametrize(
    "scripted",
    [
        Scripted(np.full((5, 2), 100.0)),  # landmarks on one point, by which no face can be aligned
        Scripted(SHAPE, turn=np.pi),  # upside down: half-way the landmarks would coincide
        Scripted(*(SHAPE + [0, 3 * number] for number in range(9))),  # many faces
    ],
)
def test_what_cannot_be_followed_is_searched(scripted) -> None:
    images = np.zeros((5, 200, 240, 3), np.uint8)
    found = SparseDetector(scripted, 4).detect(images)
    assert scripted.shown == 5
    assert [len(faces) for faces in found] == [len(scripted.faces)] * 5


@pytest.mark.parametrize(("count", "every", "shown"), [(0, 4, 0), (1, 4, 1), (2, 4, 2), (5, 1, 5)])
def test_few_frames_are_all_searched(count, every, shown, counting, sample_clips) -> None:
    images = frames(sample_clips / "pyfeat_0.mp4", most=5)[:count]
    assert len(SparseDetector(counting, every).detect(images)) == count
    assert counting.shown == shown


def test_it_is_refused_to_search_none() -> None:
    with pytest.raises(ValueError, match="every = 0"):
        SparseDetector(Counting(None), 0)


def test_the_refiner_finds_landmarks_again_that_were_moved(detector, sample_clips) -> None:
    from favchat.video.landmark_refiner import moved

    image = frames(sample_clips / "pyfeat_0.mp4", most=1)[0]
    true = detector.detect(image[None])[0].landmarks.astype(np.float64)
    side = float(face_geometry(true[0], 1, 1)[2])
    off = true + 0.1 * side
    refiner = pickle.loads(pickle.dumps(LandmarkRefiner(threads=1)))  # noqa: S301 - it was pickled right here
    seen = refiner.look([image], off)
    assert seen.faces[0] > 0
    assert np.abs(moved(off, seen.shifts) - true).max() < 0.4 * np.abs(off - true).max()
    nothing = refiner.look([np.full_like(image, 110)], true)
    assert nothing.faces[0] < 0
