"""What is measured on all crops of a clip, of which a model sees few: how the mouth moves, and the face's mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from favchat.video.mesh_features import MESH_FEATURES, mesh_features
from favchat.video.mouth import MOUTH_FEATURES, mouth_features

FACE_MEASURES = MOUTH_FEATURES + MESH_FEATURES


def face_measures(faces: NDArray[np.uint8], visible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measure a clip's crops: :func:`mouth_features`, then :func:`mesh_features`.

    Args:
        faces: (T, size, size, 3) uint8 RGB, aligned crops.
        visible: (T,) whether the face is visible.

    Returns:
        (69,) float32; zeros where the face is never visible.
    """
    return np.concatenate([mouth_features(faces, visible), mesh_features(faces, visible)])
