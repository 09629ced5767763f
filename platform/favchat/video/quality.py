"""Quality measures of a clip's face, on which filters set bounds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.clip import ProcessedClip

MODEL = np.asarray(
    [[-3.15, -2.62, -3.47], [3.15, -2.62, -3.47], [0.0, 1.13, -7.48], [-2.46, 4.34, -4.28], [2.46, 4.34, -4.28]]
)
"""The five landmarks in a face that looks at the camera, in cm: x to the right of the image, y down, z away from the
camera. MediaPipe's canonical face (its vertices 33, 133, 362, 263, 1, 61, 291); the middle of an eye is that of its
corners."""

HASH_SIDE = 32
"""Pixels a side, and moments, of the block that `duplicate_hash` transforms."""
HASH_BITS = 384
STILL = 0.1
"""Grey levels by which the pixels of a clip that stands still scatter over time; no video camera comes so low."""
DUPLICATE_DISTANCE = 48
"""Two hashes that differ in at most so many of the bits are of one recording; docs/choices.md has the measurement."""


@dataclass(frozen=True)
class Quality:
    """Measures of one face in one clip.

    Attributes:
        face_share: Fraction of the sampled frames with the face, 0..1.
        score: Mean score of the detections, 0..1.
        face_size: Shorter side of the face's box in pixels of the upright original video, median.
        sharpness: Variance of the Laplacian of the aligned crop's luma, median. It depends on the
            size of the crops.
        yaw: Yaw of the head in degrees, median; positive towards the right of the image.
        pitch: Pitch of the head in degrees, median; positive up.
        roll: Roll of the head in degrees, median; positive clockwise.
        brightness: Mean luma of the aligned crop, 0..255.
    """

    face_share: float
    score: float
    face_size: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    brightness: float


def measure(clip: ProcessedClip) -> Quality:
    """Measure a clip; frames without the face only affect `face_share`.

    Raises:
        ValueError: The face is visible in no frame.
    """
    visible = clip.visible
    if not visible.any():
        raise ValueError("clip: the face is visible in no frame, there is nothing to measure")
    extent = np.asarray([clip.info.width, clip.info.height], dtype=np.float64)
    corners = clip.boxes[visible].reshape(-1, 2, 2) * extent
    luma = [cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in clip.faces[visible]]
    yaw, pitch, roll = np.median(head_pose(clip.landmarks[visible] * extent), axis=0)
    return Quality(
        face_share=float(visible.mean()),
        score=float(clip.scores[clip.scores > 0].mean()),
        face_size=float(np.median((corners[:, 1] - corners[:, 0]).min(axis=1))),
        sharpness=float(np.median([cv2.Laplacian(face, cv2.CV_64F).var() for face in luma])),
        yaw=float(yaw),
        pitch=float(pitch),
        roll=float(roll),
        brightness=float(np.mean(luma)),
    )


def head_pose(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Head pose from five landmarks.

    The orthographic step of POSIT (DeMenthon and Davis 1995): the linear map from the canonical face to the image is
    solved by least squares, and the rotation is the nearest one to it (by SVD, as in the Procrustes problem). Since one
    canonical face is used for all people, the neutral pose is off by a few degrees, mostly in pitch, which depends on
    the height of the nose.

    Args:
        landmarks: (N, 5, 2) x y in pixels, in the order of `Detections`; not relative to width and height, which
            would distort angles.

    Returns:
        (N, 3) float64 degrees: yaw, positive towards the right of the image, pitch, positive up, roll, positive
        clockwise. Rotating the image changes roll only.
    """
    centred = landmarks - landmarks.mean(axis=1, keepdims=True)
    maps = np.linalg.pinv(MODEL - MODEL.mean(axis=0)) @ centred  # (N, 3, 2)
    left, _, right = np.linalg.svd(maps.transpose(0, 2, 1), full_matrices=False)
    top = left @ right  # (N, 2, 3): the first two rows of the rotation
    turn = np.concatenate([top, np.cross(top[:, 0], top[:, 1])[:, None]], axis=1)  # (N, 3, 3)
    yaw = np.arctan2(turn[:, 2, 0], turn[:, 2, 2])
    pitch = -np.arcsin(np.clip(turn[:, 2, 1], -1.0, 1.0))
    roll = np.arctan2(-turn[:, 0, 1], turn[:, 1, 1])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1))


def duplicate_hash(clip: ProcessedClip) -> str:
    """A perceptual hash of a clip that is robust to re-encoding, scaling and exposure.

    Low frequencies of the frames' luma under a three-dimensional cosine transform (Coskun, Sankur and Memon 2006): four
    in time, including the constant one, by 8x8 in space, each bit saying whether a coefficient is above the median of
    its 8x8. 64 bits describe the mean frame, the other 192 its changes, which distinguish clips of one person in one
    room. A static clip has 16x16 spatial frequencies instead. Another 128 bits, 16 by 8, are computed in the same way
    from the mean aligned face: they distinguish two people before one background, or two photos moved alike, and are
    the only ones that differ between the faces of one clip.

    Returns:
        384 bits as 96 hexadecimal digits; `hash_distance` compares two.

    Raises:
        ValueError: The face is visible in no frame.
    """
    if not clip.visible.any():
        raise ValueError("clip: the face is visible in no frame, there is nothing to hash")
    small = _small_luma(clip.frames)
    # Linear interpolation to fixed relative times, since a copy may have another number of frames.
    left, right = clip.timestamps[0], clip.timestamps[-1]
    places = np.interp(np.linspace(left, right, HASH_SIDE), clip.timestamps, np.arange(len(small)))
    low = np.floor(places).astype(np.intp)
    share = (places - low)[:, None, None]
    after = small[np.minimum(low + 1, len(small) - 1)]
    cube = small[low] * (1.0 - share) + after * share  # (HASH_SIDE, HASH_SIDE, HASH_SIDE)
    moves = float(cube.std(axis=0).mean()) > STILL
    low_t, low_yx = (_cosines(0, 4), _cosines(1, 8)) if moves else (_cosines(0, 1), _cosines(1, 16))
    block = np.einsum("at,by,cx,tyx->abc", low_t, low_yx, low_yx, cube, optimize=True)
    face = _cosines(1, 16) @ _small_luma(clip.faces[clip.visible]).mean(axis=0) @ _cosines(1, 8).T  # (16, 8)
    bits = [part > np.median(part) for part in (*block, face)]
    return np.packbits(np.concatenate([part.reshape(-1) for part in bits])).tobytes().hex()


def _small_luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, HASH_SIDE, HASH_SIDE) uint8 from (T, H, W, 3) RGB."""
    luma = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    small = [cv2.resize(image, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA) for image in luma]
    return np.stack(small).astype(np.uint8)


def _cosines(first: int, count: int) -> NDArray[np.float64]:
    """(count, HASH_SIDE) float64: rows of the cosine transform from `first` on."""
    moments = np.arange(HASH_SIDE) + 0.5
    return np.cos(np.pi / HASH_SIDE * np.arange(first, first + count)[:, None] * moments)


def hash_distance(one: str, other: str) -> int:
    """Hamming distance of two hashes in bits."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
