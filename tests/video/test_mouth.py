import numpy as np
import pytest

from favchat.video.mouth import MOUTH_FEATURES, mouth_features


def faces(openings, *, brightness=0, shift=0):
    """Grey crops with a dark mouth of so many pixels, on a striped ground."""
    crops = np.full((len(openings), 160, 160, 3), 150, np.uint8)
    crops[:, :, ::16] = 100
    crops[:, 60:64, 60:100] = 90
    for index, opening in enumerate(openings):
        crops[index, 108 - opening : 108 + opening, 70:90] = 20
        crops[index] = np.roll(crops[index], shift * (index % 2), axis=0)
    return np.clip(crops.astype(int) + brightness, 0, 255).astype(np.uint8)


def features(crops, seen=None):
    return mouth_features(crops, np.ones(len(crops), bool) if seen is None else np.asarray(seen))


TALKING = [1, 7, 2, 9, 1, 8, 3, 7]
STILL = [4] * 8


def test_a_talking_mouth_differs_from_a_still_one_in_all_measures():
    talking, still = features(faces(TALKING)), features(faces(STILL))
    assert talking.shape == still.shape == (MOUTH_FEATURES,)
    assert (talking > still + 1).all()
    assert np.allclose(still, 0, atol=1e-3)


def test_a_head_that_is_shifted_a_little_does_not_talk():
    assert (features(faces(STILL, shift=2))[0] < features(faces(TALKING))[0] - 1).all()


def test_one_smile_moves_the_mouth_less_than_talking():
    assert features(faces([1] * 4 + [8] * 4))[1] < features(faces(TALKING))[1]


def test_light_does_not_matter():
    assert np.allclose(features(faces(TALKING)), features(faces(TALKING, brightness=60)), atol=0.05)


@pytest.mark.parametrize("seen", [[False] * 8, [True, True] + [False] * 6])
def test_a_face_that_is_hardly_seen_has_a_still_mouth(seen):
    assert (features(faces(TALKING), seen) == 0).all()


def test_frames_without_the_face_are_left_out():
    crops = faces(TALKING)
    black = crops.copy()
    black[3] = 0
    seen = np.arange(8) != 3
    assert np.allclose(features(black, seen), features(crops[seen]))


def test_crops_of_another_size_are_scaled():
    import cv2

    small = np.stack([cv2.resize(crop, (112, 112), interpolation=cv2.INTER_AREA) for crop in faces(TALKING)])
    assert np.allclose(features(small), features(faces(TALKING)), atol=0.7)
