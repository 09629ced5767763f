"""Images in the shards: RGB stays RGB, raw pixels stay as they are, and an unreadable image is said to be one."""

import io

import numpy as np
import pytest

from favchat.video.images import as_jpeg, decode_images, encode_images


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


def test_raw_images_lose_nothing_and_tell_what_they_are() -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), np.uint8)
    files = encode_images(images[:, ::-1], encoding="raw")
    np.testing.assert_array_equal(decode_images(files), images[:, ::-1])
    np.testing.assert_array_equal(np.load(io.BytesIO(files[1])), images[1, ::-1])
    mixed = decode_images([files[0], *encode_images(images[1:], quality=100)])
    assert mixed.shape == images.shape


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (npy(np.zeros((4, 4, 3), np.uint8))[:-1], r"image 0 is no readable NPY file \(175 bytes\)"),
        (npy(np.zeros((4, 4, 3), np.float32)), r"image 0: \(H, W, 3\) uint8 expected, got \(4, 4, 3\) float32"),
        (npy(np.zeros((4, 4), np.uint8)), r"got \(4, 4\) uint8"),
        (npy(np.asarray([{}])), "image 0 is no readable NPY file .*Object arrays cannot be loaded"),
    ],
)
def test_an_unusable_raw_image_is_said(file: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_images([file])


@pytest.mark.parametrize(
    ("files", "said"), [([], "no image"), ([b""], r"image 0 .*0 bytes"), ([b"no picture"], r"image 0 .*10 bytes")]
)
def test_what_cannot_be_decoded_is_said(files: list[bytes], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_images(files)


def test_any_encoding_becomes_a_jpeg():
    image = np.full((1, 8, 8, 3), 90, np.uint8)
    for encoding in ("jpeg", "raw"):
        (file,) = encode_images(image, encoding=encoding)
        jpeg = as_jpeg(file)
        assert jpeg.startswith(b"\xff\xd8") and (jpeg is file) == (encoding == "jpeg")
        assert np.abs(decode_images([jpeg]).astype(int) - 90).max() <= 2
