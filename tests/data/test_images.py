"""JPEG in the shards: RGB stays RGB, and an unreadable image is said to be one."""

import numpy as np
import pytest

from favchat.data.images import decode_images, encode_images


def test_the_round_trip_keeps_colours_and_shape() -> None:
    images = np.zeros((3, 48, 64, 3), np.uint8)
    images[0, ..., 0], images[1, ..., 1], images[2, ..., 2] = 250, 250, 250
    files = encode_images(images, quality=95)
    assert [file[:2] for file in files] == [b"\xff\xd8"] * 3
    restored = decode_images(files)
    assert restored.dtype == np.uint8
    assert np.abs(restored.astype(int) - images).max() <= 4


def test_less_quality_is_fewer_bytes() -> None:
    images = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    assert len(encode_images(images, quality=50)[0]) < len(encode_images(images, quality=95)[0])


@pytest.mark.parametrize(
    ("files", "said"), [([], "no image"), ([b""], r"image 0 .*0 bytes"), ([b"no picture"], r"image 0 .*10 bytes")]
)
def test_what_cannot_be_decoded_is_said(files: list[bytes], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_images(files)
