"""What browsers play, and what is made of the rest."""

import av
import numpy as np
import pytest

from favchat.video import VideoError
from serve.preview import SECONDS, SIDE, is_playable, write_preview
from tests.serve.conftest import clip_path, video_file


def film(seconds: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Each frame lighter than the one before, the left half black."""
    images = np.zeros((seconds, height, width, 3), np.uint8)
    images[:, :, width // 2 :] = np.linspace(40, 240, seconds)[:, None, None, None]
    return images


def frames(path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        found = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time for time, _ in found], [image for _, image in found]


@pytest.mark.parametrize(
    ("container", "codec", "pixels", "playable"),
    [
        ("mp4", "libx264", "yuv420p", True),
        ("mov", "libx264", "yuv420p", True),
        ("webm", "libvpx", "yuv420p", True),
        ("webm", "libvpx-vp9", "yuv420p", True),
        ("matroska", "libvpx", "yuv420p", False),
        ("mp4", "libx264", "yuv420p10le", False),
        ("mp4", "mpeg4", "yuv420p", False),
        ("avi", "libx264", "yuv420p", False),
        ("mpeg", "mpeg1video", "yuv420p", False),
    ],
)
def test_what_browsers_play(tmp_path, container, codec, pixels, playable) -> None:
    rate = 25 if codec == "mpeg1video" else 1  # which knows no frame rate below
    path = tmp_path / "film"
    path.write_bytes(video_file(film(3), container, codec, pixels, rate=rate))
    assert is_playable(path) is playable


def test_what_is_no_video_is_not_played(tmp_path) -> None:
    (tmp_path / "film").write_bytes(b"no video")
    with pytest.raises(VideoError):
        is_playable(tmp_path / "film")


def test_a_preview_shows_the_same_pictures_at_the_same_times(tmp_path) -> None:
    source = tmp_path / "film.avi"
    source.write_bytes(video_file(film(9), "avi", "mpeg4"))
    write_preview(source, tmp_path / "preview")
    assert is_playable(tmp_path / "preview")
    times, images = frames(tmp_path / "preview")
    assert times == sorted(set(times)) and times[0] == 0
    for second, original in enumerate(film(9)):
        shown = images[max(index for index, time in enumerate(times) if time <= second + 0.5)]
        assert np.abs(shown.astype(int) - original).mean() < 12


def test_a_preview_is_small_and_upright(tmp_path) -> None:
    (tmp_path / "film").write_bytes(video_file(film(2, width=1280, height=720)))
    write_preview(tmp_path / "film", tmp_path / "preview")
    assert frames(tmp_path / "preview")[1][0].shape == (270, SIDE, 3)


def test_a_preview_has_an_end(tmp_path) -> None:
    (tmp_path / "film").write_bytes(video_file(film(round(SECONDS) + 30)))
    write_preview(tmp_path / "film", tmp_path / "preview")
    times, _ = frames(tmp_path / "preview")
    assert SECONDS - 2 < times[-1] < SECONDS


def test_of_a_film_that_breaks_off_the_rest_is_left_out(tmp_path) -> None:
    whole = clip_path("pexels_0").read_bytes()
    (tmp_path / "film").write_bytes(whole[: len(whole) * 2 // 3])
    write_preview(tmp_path / "film", tmp_path / "preview")
    assert frames(tmp_path / "preview")[0]
    (tmp_path / "film").write_bytes(whole[:2000])
    with pytest.raises(VideoError):
        write_preview(tmp_path / "film", tmp_path / "preview")
