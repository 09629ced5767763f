import numpy as np
import pytest

from favchat.video import Detections, track_faces
from favchat.video.track import choose_tracks

SHAPE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def found(*faces):
    """Detections of faces given as (x, y, side) or (x, y, side, score), x and y their centre."""
    boxes, landmarks, scores = [], [], []
    for x, y, side, *score in faces:
        corner = np.array([x - side / 2, y - side / 2])
        boxes.append([*corner, *(corner + side)])
        landmarks.append(corner + SHAPE * side)
        scores.append(score[0] if score else 0.9)
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(landmarks, np.float32).reshape(-1, 5, 2),
        np.asarray(scores, np.float32),
    )


def centres(track):
    return (track.boxes[:, :2] + track.boxes[:, 2:]) / 2


def test_no_faces_no_tracks():
    assert track_faces([]) == []
    assert track_faces([found(), found()]) == []


def test_one_face_that_moves_is_one_track():
    tracks = track_faces([found((100 + 40 * t, 100, 80)) for t in range(6)])
    assert len(tracks) == 1
    np.testing.assert_allclose(centres(tracks[0])[:, 0], 100 + 40 * np.arange(6), atol=0.01)
    assert tracks[0].visible.all() and tracks[0].boxes.shape == (6, 4) and tracks[0].landmarks.shape == (6, 5, 2)
    assert tracks[0].boxes.dtype == tracks[0].landmarks.dtype == tracks[0].scores.dtype == np.float32


def test_two_faces_keep_apart_whatever_their_order():
    left, right = (100, 100, 80), (260, 100, 80)
    tracks = track_faces([found(left, right), found(right, left), found(left, right)])
    assert sorted(float(centres(track)[:, 0].std()) for track in tracks) == [0.0, 0.0]


def test_the_main_face_is_large_and_long_on_screen():
    large, small = (300, 200, 120), (60, 60, 30, 0.99)
    assert centres(track_faces([found(small, large)] * 4)[0])[0, 0] == 300
    brief = [found(small, large)] + [found(small)] * 9
    assert centres(track_faces(brief)[0])[0, 0] == 60


def test_a_short_gap_is_bridged_with_score_zero():
    (track,) = track_faces([found((100, 100, 80)), found(), found(), found((130, 100, 80))], max_gap=2)
    assert track.visible.tolist() == [True] * 4
    np.testing.assert_allclose(track.scores, [0.9, 0, 0, 0.9])
    np.testing.assert_allclose(centres(track)[:, 0], [100, 110, 120, 130], atol=0.5)


def test_a_long_gap_stays_empty_but_the_face_is_the_same():
    frames = [found((100, 100, 80))] + [found()] * 3 + [found((110, 100, 80))] * 2
    (track,) = track_faces(frames, max_gap=2)
    assert track.visible.tolist() == [True, False, False, False, True, True]
    assert not track.boxes[1:4].any() and not track.landmarks[1:4].any()
    assert track_faces(frames, max_gap=3)[0].visible.all()


@pytest.mark.parametrize("other", [(600, 100, 80), (100, 100, 240)])
def test_another_place_or_size_is_another_face(other):
    assert len(track_faces([found((100, 100, 80)), found(other)])) == 2


def test_jitter_is_calmed():
    rng = np.random.default_rng(0)
    (track,) = track_faces([found((200 + rng.normal(0, 0.25), 200, 100)) for _ in range(60)])
    assert centres(track)[:, 0].std() < 0.75 * 0.25


def test_a_fast_nod_keeps_its_height_and_its_time():
    height = np.array([0, 0, 15, 0, -15, 0, 15, 0, 0])
    (track,) = track_faces([found((200, 200 + y, 100)) for y in height])
    np.testing.assert_allclose(centres(track)[:, 1] - 200, height, atol=0.5)


def test_a_negative_gap_is_refused():
    with pytest.raises(ValueError, match="max_gap"):
        track_faces([], max_gap=-1)


def test_the_annotated_box_chooses_the_face_it_overlaps_most():
    main, other = (300, 200, 120), (60, 60, 40)
    tracks = track_faces([found(main, other)] * 4)
    assert choose_tracks(tracks, min_share=0.3) == tracks[:1]
    assert choose_tracks(tracks, min_share=0.3, box=(30, 30, 90, 120)) == tracks[1:]
    assert choose_tracks(tracks, min_share=0.3, box=(30, 30, 400, 300)) == tracks[:1]  # both inside: the larger
    assert choose_tracks(tracks, min_share=0.3, box=(500, 400, 600, 500)) == []
    assert choose_tracks([], min_share=0.3, box=(0, 0, 9, 9)) == choose_tracks([], min_share=0.3) == []


def test_every_face_that_stays_is_a_track_of_its_own():
    faces = (300, 200, 120), (60, 60, 40), (160, 60, 50)
    tracks = track_faces([found(*faces)] * 2 + [found(*faces[:2])] * 8)
    chosen = choose_tracks(tracks, min_share=0.3, max_tracks=3)
    assert [round(float(centres(track)[0, 0])) for track in chosen] == [300, 60]
    assert len(choose_tracks(tracks, min_share=0.1, max_tracks=3)) == 3
    assert len(choose_tracks(tracks, min_share=0.1, max_tracks=2)) == 2
