import cv2
import numpy as np
import pytest

from favchat.video import Detections, VideoError, process_clip, read_frames
from favchat.video.clip import SHOTS_TRIED
from favchat.video.shot_cuts import differences, find_cuts, shots, steps


def test_cuts_between_people_are_found_where_they_are(join, woman, man):
    path = join(woman, man[:20], woman[10:])
    sampled = read_frames(path, fps=8.0, max_frames=32)
    np.testing.assert_allclose(find_cuts(path, sampled), [1.2, 2.0], atol=1e-3)
    part = read_frames(path, start=1.0, end=1.8, fps=8.0)
    np.testing.assert_allclose(find_cuts(path, part, start=1.0), [0.2], atol=1e-3)


def test_a_black_frame_between_two_shots_is_one_cut(join, woman, man):
    path = join(woman, [np.zeros_like(woman[0])], man)
    assert len(find_cuts(path, read_frames(path, fps=8.0, max_frames=32))) == 1


def test_a_flash_and_a_jerk_are_no_cuts(join, woman):
    flash = [cv2.add(image, (110, 110, 110, 0)) if index in (10, 11) else image for index, image in enumerate(woman)]
    path = join(flash)
    assert find_cuts(path, read_frames(path, fps=25.0, max_frames=64)) == []
    jerk = [np.roll(image, 30 * (index >= 15), axis=1) for index, image in enumerate(woman)]
    path = join(jerk)
    assert find_cuts(path, read_frames(path, fps=8.0)) == []


@pytest.mark.parametrize("name", ["capture_1.mp4", "pexels_5.mp4", "franck_7.mp4", "noface_0.mp4"])
def test_moving_heads_are_no_cuts(sample_clips, name):
    path = sample_clips / name
    assert find_cuts(path, read_frames(path, fps=8.0, max_frames=32, max_side=640)) == []


def test_differences_of_pictures_alike_unrelated_and_flat():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    flat = np.full_like(a, 40)
    found = differences(np.stack([a, a // 2 + 60, b, flat, flat + 90]))
    np.testing.assert_allclose(found, [0, 1, 1, 0], atol=0.06)
    assert steps(np.stack([a] * 6 + [b] * 6)) == [6] and steps(a[None]) == []


def test_shots_are_ordered_by_length():
    assert shots(0.0, 10.0, []) == [(0.0, 10.0)]
    assert shots(0.0, 10.0, [7.5, 2.0]) == [(2.0, 7.5), (7.5, 10.0), (0.0, 2.0)]
    assert shots(0.0, 10.0, [5.0, 11.0]) == [(0.0, 5.0), (5.0, 10.0)]
    with pytest.raises(ValueError, match="start"):
        shots(2.0, 2.0, [])


def test_a_clip_is_cut_down_to_its_longest_shot_or_refused(join, woman, man, detector):
    path = join(woman[:12], man)
    clip = process_clip(path, detector, fps=8.0, cuts="keep_longest")
    assert clip.cuts == pytest.approx((0.48,)) and clip.shot == pytest.approx((0.48, 1.68), abs=0.05)
    assert clip.timestamps[0] == pytest.approx(0.48, abs=1e-3) and len(clip.timestamps) == 10
    assert np.abs(clip.frames[0].astype(int) - cv2.resize(man[0], clip.frames.shape[2:0:-1])).mean() < 8
    with pytest.raises(VideoError) as caught:
        process_clip(path, detector, fps=8.0, cuts="reject")
    assert caught.value.stage == "cut" and "0.48 s" in caught.value.reason
    assert process_clip(path, detector, fps=8.0).timestamps[0] == 0.0


@pytest.fixture(scope="module")
def room():
    """A picture without a face, a little brighter from frame to frame."""
    noise = np.random.default_rng(0).integers(0, 200, (6, 8, 3), dtype=np.uint8)
    image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    return [cv2.add(image, (index / 4, index / 4, index / 4, 0)) for index in range(60)]


@pytest.mark.parametrize(("face_first", "begin"), [(False, 2.4), (True, 0.0)])
def test_a_longer_shot_without_a_face_is_passed_over(join, woman, room, detector, face_first, begin):
    path = join(woman, room) if face_first else join(room, woman)
    clip = process_clip(path, detector, fps=8.0, cuts="keep_longest")
    assert clip.shot == pytest.approx((begin, begin + 1.2), abs=0.05) and len(clip.cuts) == 1
    assert clip.visible.all() and clip.timestamps[0] == pytest.approx(begin, abs=1e-3)


def test_of_shots_with_faces_the_one_with_the_annotated_face_is_kept(join, woman, man, detector):
    path = join(woman, [np.ascontiguousarray(image[:, ::-1]) for image in man[:20]])
    hers, his = (0.7, 0.2, 0.85, 0.6), (0.3, 0.3, 0.45, 0.6)  # each lies in one of the two faces, and not in the other
    kept = [process_clip(path, detector, fps=8.0, cuts="keep_longest", box=box).shot for box in (hers, his)]
    assert kept == [pytest.approx((0.0, 1.2), abs=0.05), pytest.approx((1.2, 2.0), abs=0.05)]


def test_without_a_face_in_any_shot_the_longest_one_says_why(join, room, detector):
    other = [255 - image for image in room[:24]]
    with pytest.raises(VideoError) as caught:
        process_clip(join(other, room), detector, fps=5.0, cuts="keep_longest")
    assert caught.value.reason == "no face found in any of the 12 sampled frames"


class Counting:
    """Sees no face, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def detect(self, images):
        self.asked += 1
        none = np.zeros(0, np.float32)
        return [Detections(none.reshape(0, 4), none.reshape(0, 5, 2), none) for _ in images]


def test_shots_that_are_too_short_or_too_many_are_not_tried(join, woman, man, room):
    blind = Counting()
    with pytest.raises(VideoError):
        process_clip(join(room, man[:6], woman), blind, fps=4.0, cuts="keep_longest")
    assert blind.asked == 2
    blind = Counting()
    with pytest.raises(VideoError):
        process_clip(join(*[woman[:8], man[:8]] * 6), blind, fps=8.0, cuts="keep_longest")
    assert blind.asked == SHOTS_TRIED == 8
