from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import favchat.sample
from favchat.backbones import assets
from favchat.video import CenterFaceDetector

WriteVideo = Callable[..., Path]


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """Write a video whose frame i is one grey level, `20 + 6 * i` modulo 256, with a white top left quarter."""

    def write(
        name: str = "made.mp4",
        *,
        times: Sequence[float] = tuple(np.arange(25) / 25),
        width: int = 96,
        height: int = 64,
        rotation: int = 0,
        aspect: Fraction | None = None,
        codec: str = "libx264",
        key_every: int = 12,
        ticks: int = 1000,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options or {}) as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = Fraction(1, ticks)
            stream.codec_context.gop_size = key_every
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if rotation:
                stream.set_display_rotation(rotation)
            for index, time in enumerate(times):
                image = np.full((height, width, 3), (20 + 6 * index) % 256, dtype=np.uint8)
                image[: height // 2, : width // 2] = 255
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = round(time * ticks), Fraction(1, ticks)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


def pictures(path: Path, count: int = 30) -> list[np.ndarray]:
    """The first pictures of a video at 320x240."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            found.append(frame.to_ndarray(format="rgb24", width=320, height=240))
            if len(found) == count:
                break
    return found


@pytest.fixture
def join(tmp_path: Path) -> Callable[..., Path]:
    """Write pictures one after the other at 25 a second."""

    def write(*shots: Sequence[np.ndarray]) -> Path:
        path = tmp_path / "joined.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width = shots[0][0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for image in (image for shot in shots for image in shot):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="module")
def woman(sample_clips: Path) -> list[np.ndarray]:
    return pictures(sample_clips / "pexels_4.mp4")


@pytest.fixture(scope="module")
def crying_woman(sample_clips: Path) -> list[np.ndarray]:
    """The same woman, her eyes shut."""
    return pictures(sample_clips / "pexels_1.mp4", 1)


@pytest.fixture(scope="module")
def man(sample_clips: Path) -> list[np.ndarray]:
    return pictures(sample_clips / "franck_0.mp4")


@pytest.fixture(scope="session")
def sample_clips() -> Path:
    return Path(favchat.sample.__path__[0]) / "clips"


@pytest.fixture(scope="session")
def detector() -> CenterFaceDetector:
    try:
        assets.path("centerface")
    except assets.AssetError as error:
        pytest.skip(f"the detector's weights cannot be had here: {error}")
    return CenterFaceDetector()
