"""RGB images to JPEG bytes and back."""

from __future__ import annotations

import cv2
import numpy as np


def encode_images(images: np.ndarray, *, quality: int = 95) -> list[bytes]:
    """Compress images.

    Args:
        images: (T, H, W, 3) uint8, RGB.
        quality: JPEG quality, 1 to 100.

    Returns:
        T JPEG files.
    """
    return [_encode(image, quality) for image in images]


def decode_images(files: list[bytes]) -> np.ndarray:
    """Decompress images of one size.

    Args:
        files: T >= 1 encoded images (JPEG, or what else OpenCV reads) of the same size.

    Returns:
        (T, H, W, 3) uint8, RGB.

    Raises:
        ValueError: There is none, one cannot be decoded, or the sizes differ.
    """
    if not files:
        raise ValueError("no image to decode")
    return np.stack([_decode(file, position) for position, file in enumerate(files)])


def _encode(image: np.ndarray, quality: int) -> bytes:
    done, file = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be written as JPEG")
    return file.tobytes()


def _decode(file: bytes, position: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) if file else None
    if image is None:
        raise ValueError(f"image {position} is no readable image file ({len(file)} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
