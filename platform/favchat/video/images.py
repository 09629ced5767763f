"""Encodes and decodes RGB images: JPEG, or lossless NPY."""

from __future__ import annotations

import io
from typing import Literal

import cv2
import numpy as np
from numpy.lib import format as npy

Encoding = Literal["jpeg", "raw"]
"""How an image is written; the bytes themselves tell which."""


def encode_images(images: np.ndarray, *, encoding: Encoding = "jpeg", quality: int = 95) -> list[bytes]:
    """Encode images.

    Args:
        images: (T, H, W, 3) uint8, RGB.
        encoding: "jpeg", or "raw" for an NPY file, which `numpy.load` opens.
        quality: JPEG quality, 1 to 100.

    Returns:
        T files.
    """
    return [_npy(image) if encoding == "raw" else _jpeg(image, quality) for image in images]


def decode_images(files: list[bytes]) -> np.ndarray:
    """Decode images of equal size.

    Args:
        files: T >= 1 files (NPY, JPEG, or any format of OpenCV) of images of equal size.

    Returns:
        (T, H, W, 3) uint8, RGB.

    Raises:
        ValueError: The list is empty, one cannot be decoded, or the sizes differ.
    """
    if not files:
        raise ValueError("no image to decode")
    return np.stack([_decode(file, position) for position, file in enumerate(files)])


def as_jpeg(file: bytes) -> bytes:
    """Convert an output of `encode_images` to JPEG.

    Raises:
        ValueError: It cannot be decoded.
    """
    return encode_images(decode_images([file]))[0] if file.startswith(npy.MAGIC_PREFIX) else file


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    done, file = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be written as JPEG")
    return file.tobytes()


def _npy(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    npy.write_array(file, image, allow_pickle=False)
    return file.getvalue()


def _decode(file: bytes, position: int) -> np.ndarray:
    if file.startswith(npy.MAGIC_PREFIX):
        return _read_npy(file, position)
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR) if file else None
    if image is None:
        raise ValueError(f"image {position} is no readable image file ({len(file)} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read_npy(file: bytes, position: int) -> np.ndarray:
    try:
        image = npy.read_array(io.BytesIO(file), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"image {position} is no readable NPY file ({len(file)} bytes): {error}") from error
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image {position}: (H, W, 3) uint8 expected, got {image.shape} {image.dtype}")
    return image
