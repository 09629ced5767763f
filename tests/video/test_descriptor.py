import pickle

import numpy as np
import pytest
import torch

from favchat.model.face_pyramid import FacePyramidModel
from favchat.video import IdentityDescriptor, align_face, read_frames
from favchat.video.person_tracks import SAME_PERSON


@pytest.fixture(scope="module")
def faces(sample_clips, detector):
    """Two pictures each of two people and their landmarks."""
    images, landmarks = [], []
    for name in ("franck_0.mp4", "pyfeat_0.mp4"):
        some = read_frames(sample_clips / name, fps=2.0, max_frames=2, max_side=320).images
        images += list(some)
        landmarks += [found.landmarks[0] for found in detector.detect(some)]
    return images, np.stack(landmarks)


@pytest.fixture(scope="module")
def described(faces):
    return np.concatenate(
        [IdentityDescriptor().describe(image[None], one[None]) for image, one in zip(*faces, strict=True)]
    )


def test_it_is_the_identity_trunk_of_the_model(faces, described):
    crops = np.stack([align_face(image, one) for image, one in zip(*faces, strict=True)])
    with torch.no_grad():
        trunk = FacePyramidModel.from_trunks()(torch.from_numpy(crops).permute(0, 3, 1, 2) / 255)
    assert described.shape == (4, 128) and described.dtype == np.float32
    np.testing.assert_allclose(described, trunk.descriptor.numpy(), atol=0.005)


def test_it_tells_two_people_apart(described):
    distance = np.linalg.norm(described[:, None] - described[None], axis=2)
    assert max(distance[0, 1], distance[2, 3]) < SAME_PERSON < distance[:2, 2:].min()


def test_pickles_and_checks_its_setting(faces):
    images, landmarks = faces
    descriptor = IdentityDescriptor(threads=1)
    one = descriptor.describe(images[0][None], landmarks[:1])
    copy = pickle.loads(pickle.dumps(descriptor))  # noqa: S301 - it was pickled right here
    np.testing.assert_array_equal(copy.describe(images[0][None], landmarks[:1]), one)
    with pytest.raises(ValueError, match="threads"):
        IdentityDescriptor(threads=0)
