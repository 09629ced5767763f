import numpy as np

from favchat.video.face_measures import FACE_MEASURES, face_measures
from favchat.video.mesh_features import mesh_features
from favchat.video.mouth import MOUTH_FEATURES, mouth_features


def test_the_mouths_measures_come_first_then_the_meshs():
    faces = np.random.default_rng(0).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)
    visible = np.array([True, True, False, True, True])
    measured = face_measures(faces, visible)
    assert measured.shape == (FACE_MEASURES,)
    assert np.array_equal(measured[:MOUTH_FEATURES], mouth_features(faces, visible))
    assert np.array_equal(measured[MOUTH_FEATURES:], mesh_features(faces, visible))
