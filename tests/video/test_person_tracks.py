import cv2
import numpy as np
import pytest

from favchat.video import Detections, IdentityDescriptor, process_clip, process_tracks, track_faces
from favchat.video.align import TEMPLATE
from favchat.video.person_tracks import DESCRIBED

SIDE = 60


class Painted:
    """Describes a face by its colour, and counts the faces that it was asked about."""

    def __init__(self):
        self.asked = 0

    def describe(self, images, landmarks):
        self.asked += len(images)
        x, y = landmarks.mean(axis=1).round().astype(int).T
        return np.eye(8, dtype=np.float32)[images[np.arange(len(images)), y, x, 0] // 32]


def scene(*frames):
    """Images and detections of faces given as (x, person): each person is a pattern of its own around one grey."""
    images = np.full((len(frames), 200, 800, 3), 128, np.uint8)
    detections = []
    for image, faces in zip(images, frames, strict=True):
        boxes, landmarks = [], []
        for x, person in faces:
            noise = np.random.default_rng(person).integers(0, 256, (6, 6, 3), dtype=np.uint8)
            face = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            cv2.circle(face, (SIDE // 2, SIDE // 2), 8, (32 * person + 16,) * 3, -1)
            image[100 - SIDE // 2 : 100 + SIDE // 2, x - SIDE // 2 : x + SIDE // 2] = face
            boxes.append([x - SIDE / 2, 100 - SIDE / 2, x + SIDE / 2, 100 + SIDE / 2])
            landmarks.append((TEMPLATE - TEMPLATE.mean(axis=0)) * 0.4 + (x, 100))
        detections.append(
            Detections(
                np.asarray(boxes, np.float32).reshape(-1, 4),
                np.asarray(landmarks, np.float32).reshape(-1, 5, 2),
                np.full(len(faces), 0.9, np.float32),
            )
        )
    return images, detections


def followed(*frames, descriptor=None):
    """For each track who it is in every frame, by the boxes; None where it is not visible."""
    images, detections = scene(*frames)
    tracks = track_faces(detections, images=images, descriptor=descriptor or Painted())
    seen = []
    for track in tracks:
        centres = track.boxes[:, [0, 2]].mean(axis=1)
        seen.append(
            [
                next((person for x, person in faces if abs(x - centre) < 5), "nobody") if visible else None
                for faces, centre, visible in zip(frames, centres, track.visible, strict=True)
            ]
        )
    return seen


def test_another_person_in_the_same_place_is_another_track():
    assert followed(*[[(100, 1)]] * 5, *[[(100, 2)]] * 3) == [[1] * 5 + [None] * 3, [None] * 5 + [2] * 3]


def test_the_same_person_elsewhere_is_the_same_track():
    assert followed(*[[(100, 1)]] * 3, [], *[[(600, 1)]] * 3) == [[1] * 3 + [None] + [1] * 3]
    assert followed(*[[(100, 1)]] * 3, [], *[[(600, 2)]] * 3) == [[1] * 3 + [None] * 4, [None] * 4 + [2] * 3]


def test_one_who_comes_back_after_another_is_found_again_and_not_seen_in_between():
    assert followed(*[[(100, 1)]] * 3, [(100, 2)], *[[(100, 1)]] * 3) == [
        [1] * 3 + [None] + [1] * 3,
        [None] * 3 + [2] + [None] * 3,
    ]


def test_nobody_is_at_two_places_at_once():
    twins = [[(100, 1), (600, 1)]] * 4
    assert followed(*twins) == [[1] * 4] * 2


def test_a_face_that_comes_back_elsewhere_is_not_drawn_on_the_way():
    """Its gap is short enough to be bridged, but there is no face between the two places."""
    assert followed([(100, 1)], [(100, 1)], [], [(600, 1)], [(600, 1)]) == [[1, 1, None, 1, 1]]
    assert followed([(100, 1)], [(100, 1)], [], [(110, 1)], [(110, 1)]) == [[1, 1, "nobody", 1, 1]]


def test_where_there_is_no_doubt_nobody_is_asked():
    for frames in ([[(100 + 5 * t, 1)] for t in range(8)], [[(100, 1), (600, 2)]] * 8):
        painted = Painted()
        followed(*frames, descriptor=painted)
        assert painted.asked == 0


def test_what_a_clip_may_ask_is_bounded():
    painted = Painted()
    people = followed(*[[(100, t % 7)] for t in range(12)], descriptor=painted)
    assert painted.asked == DESCRIBED and len(people) <= DESCRIBED


def test_without_a_descriptor_place_alone_decides():
    images, detections = scene(*[[(100, 1)]] * 3, *[[(100, 2)]] * 3)
    assert len(track_faces(detections, images=images)) == len(track_faces(detections)) == 1


def test_a_cut_from_one_person_to_another_is_two_tracks(join, woman, man, detector):
    path = join(woman[:24], man[:16])
    main, other = process_tracks(path, detector, fps=5.0, max_frames=8, max_tracks=2)
    parts = {tuple(track.visible) for track in (main, other)}
    assert parts == {(True,) * 5 + (False,) * 3, (False,) * 5 + (True,) * 3}
    assert process_clip(path, detector, fps=5.0, max_frames=8).visible.sum() in (3, 5)
    (one,) = process_tracks(path, detector, fps=5.0, max_frames=8, max_tracks=2, descriptor=None)
    assert one.visible.sum() >= 5


@pytest.fixture
def walk():
    """Pictures of one person at the left, then of nobody, then at the right, 2.5 faces further."""

    def make(first, second):
        wide = [np.full((240, 720, 3), 110, np.uint8) for _ in range(40)]
        for index in range(15):
            wide[index][:, :320] = first[index]
            wide[index + 25][:, 400:] = second[index]
        return wide

    return make


def test_a_real_face_that_leaves_and_comes_back_elsewhere_is_one_track(join, walk, woman, man, detector):
    back = process_clip(join(walk(man, man[15:])), detector, fps=5.0, max_frames=8)
    assert back.visible.tolist() == [True] * 3 + [False] * 2 + [True] * 3
    first, second = np.median(back.boxes[:3, 0]), np.median(back.boxes[5:, 0])
    assert second - first > 0.4
    two = process_tracks(join(walk(man, woman)), detector, fps=5.0, max_frames=8, max_tracks=2)
    assert [track.visible.sum() for track in two] == [3, 3]


def test_two_equal_faces_are_followed_each(join, man, detector):
    pair = [np.concatenate([image, image[:, ::-1]], axis=1) for image in man[:20]]
    path = join(pair)
    both = process_tracks(path, detector, fps=5.0, max_tracks=2)
    assert len(both) == 2 and all(track.visible.all() for track in both)
    assert all(np.ptp(track.boxes[:, 0]) < 0.05 for track in both)
    assert process_clip(path, detector, fps=5.0).visible.all()


def test_one_talking_head_costs_no_descriptor(sample_clips, detector):
    class Refusing(IdentityDescriptor):
        def describe(self, images, landmarks):
            raise AssertionError("asked without a doubt")

    for name in ("franck_0.mp4", "capture_0.mp4"):
        assert process_clip(sample_clips / name, detector, fps=4.0, descriptor=Refusing()).visible.all()
