"""When pictures are shown, how long they last, and how many of them could be read, of every reader and container."""

from pathlib import Path

import av
import numpy as np
import pytest

from favchat.video import VideoError, process_clip, read_frames
from favchat.video.decode import probe
from favchat.video.shot_cuts import find_cuts

LEVELS = list(range(0, 25, 5))
SECOND = np.arange(25) / 25
CONTAINERS = [
    ("made.mkv", "libx264", "decord"),
    ("made.webm", "libvpx", "decord"),
    ("made.mp4", "libx264", "decord"),
    ("made.ts", "libx264", "pyav"),
    ("made.flv", "libx264", "pyav"),
    ("made.nut", "libx264", "pyav"),
]


def grey_levels(images):
    """The number of each frame, read back from its bottom right corner."""
    return [round((float(image[-8:, -8:].mean()) - 20) / 6) for image in images]


@pytest.mark.parametrize("offset", [0.0, 5.0, 100.0])
@pytest.mark.parametrize(("name", "codec", "backend"), CONTAINERS)
def test_times_count_from_the_first_picture(write_video, name, codec, backend, offset):
    path = write_video(name, times=SECOND + offset, codec=codec, width=128)
    frames = read_frames(path, fps=5.0)
    assert frames.info.backend == backend and frames.info.duration == pytest.approx(1.0, abs=0.005)
    assert grey_levels(frames.images) == LEVELS and frames.readable == 1.0 and not frames.info.times_guessed
    np.testing.assert_allclose(frames.timestamps, np.arange(5) / 5, atol=2e-3)
    part = read_frames(path, start=0.6, end=0.9, fps=25.0)
    assert grey_levels(part.images) == list(range(15, 23)) or grey_levels(part.images) == list(range(15, 22))
    np.testing.assert_allclose(part.timestamps[:5], np.arange(5) / 25, atol=2e-3)
    with pytest.raises(VideoError, match="beyond the end"):
        read_frames(path, start=offset + 1.1)


@pytest.mark.parametrize("name", ["made.mkv", "made.mp4", "made.ts"])
def test_the_duration_is_that_of_the_pictures_and_not_of_the_sound(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(48):
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            quiet.sample_rate, quiet.pts = 16000, 1024 * number
            container.mux(sound.encode(quiet))
        container.mux(sound.encode())
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = read_frames(path, fps=5.0)
    assert frames.info.duration == pytest.approx(1.0, abs=0.05) and len(frames.images) == 5 and frames.readable == 1.0


@pytest.mark.parametrize(
    ("name", "codec", "guessed"),
    [("b.avi", "libx264", True), ("b.avi", "mpeg4", False), ("b.h264", "libx264", True), ("b.mp4", "libx264", False)],
)
def test_without_times_pictures_follow_one_another(write_video, name, codec, guessed):
    path = write_video(name, codec=codec, ticks=25, key_every=25)
    frames = read_frames(path, fps=25.0, max_frames=32)
    assert frames.info.times_guessed is guessed and frames.info.duration == pytest.approx(1.0, abs=1e-3)
    assert frames.readable == 1.0
    np.testing.assert_allclose(frames.timestamps, SECOND, atol=1e-3)
    levels = frames.images[:, -8:, -8:].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, 20 + 6 * np.arange(25), atol=4)  # MPEG-4 is coarse
    part = read_frames(path, start=0.6, fps=25.0, max_frames=32)
    np.testing.assert_allclose(part.images, frames.images[15:], atol=1)


def test_without_times_a_seek_arrives_where_it_should(write_video):
    path = write_video("long.avi", times=np.arange(100) / 4, ticks=4, key_every=8)
    frames = read_frames(path, start=20.0, end=22.0, fps=4.0)
    assert frames.info.times_guessed
    np.testing.assert_allclose(frames.timestamps, np.arange(8) / 4, atol=1e-3)
    # Frame i has the grey level 20 + 6 i modulo 256.
    assert [round(float(image[-8:, -8:].mean())) for image in frames.images] == pytest.approx(
        [(20 + 6 * number) % 256 for number in range(80, 88)], abs=4
    )


def packets_of(path):
    """When each packet is shown or decoded, seconds, where it lies in the file, its size, and whether it is a key."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        stamps = [packet.dts if packet.pts is None else packet.pts for packet in packets]
        return [
            (float(stamp * packet.time_base), packet.pos, packet.size, packet.is_keyframe)
            for stamp, packet in zip(stamps, packets, strict=True)
        ]


CUT_SHORT = [("made.mkv", {}), ("made.flv", {}), ("made.mp4", {"movflags": "faststart"}), ("made.avi", {})]


@pytest.mark.parametrize(("name", "options"), CUT_SHORT)
@pytest.mark.parametrize("inside", [0, 30])
def test_a_file_that_breaks_off_says_how_much_could_be_read(write_video, name, options, inside):
    path = write_video(name, times=np.arange(100) / 25, width=128, options=options, key_every=25, ticks=25)
    whole = read_frames(path, fps=5.0, max_frames=32)
    assert whole.readable == 1.0 and len(whole.images) == 20
    place = next(place for time, place, _, _ in packets_of(path) if time >= 2.36)
    path.write_bytes(path.read_bytes()[: place + inside])
    frames = read_frames(path, fps=5.0, max_frames=32)
    assert frames.info.duration == pytest.approx(4.0, abs=0.05)
    assert frames.readable == pytest.approx(0.6, abs=0.051) and len(frames.images) == round(20 * frames.readable)
    # The last picture may stand in for at most a tenth of a second behind its end; its level rises by 6 a picture.
    off = np.abs(frames.images.astype(int) - whole.images[: len(frames.images)])[:, -8:, -8:].mean(axis=(1, 2, 3))
    assert off[:-1].max() < 2 and off[-1] <= 3 * 6 + 2
    # What lies behind the break is an error, and not the last picture before it.
    with pytest.raises(VideoError, match="no frame could be decoded"):
        read_frames(path, start=3.5, fps=5.0)


def test_no_stale_picture_stands_in_for_a_damaged_part(write_video):
    path = write_video(times=np.arange(100) / 25, width=128, key_every=25)
    packets = packets_of(path)
    data = bytearray(path.read_bytes())
    for time, place, size, _ in packets:
        if 1.2 <= time < 2.0:
            data[place + 4 : place + size] = bytes(255 - b for b in data[place + 4 : place + size])
    path.write_bytes(data)
    again = min(time for time, _, _, key in packets if key and time >= 2.0)
    frames = read_frames(path, fps=5.0, max_frames=32)
    assert not np.any((frames.timestamps > 1.21) & (frames.timestamps < again - 0.01))
    assert frames.timestamps[-1] == pytest.approx(3.8, abs=0.01) and 4 <= np.sum(frames.timestamps < 1.21) <= 7
    assert frames.readable == len(frames.images) / 20 < 1.0
    with pytest.raises(VideoError, match="no frame could be decoded"):
        read_frames(path, start=1.5, end=again - 0.1, fps=5.0)
    assert read_frames(path, start=again, fps=5.0).readable == 1.0


@pytest.mark.parametrize("name", ["12:30.mp4", "-x.mp4", "12:30.avi", "-x.avi", "file:a.mp4", "concat:b.mkv"])
def test_names_that_ffmpeg_takes_for_something_else(write_video, monkeypatch, name):
    """For protocols, or options; relative names above all."""
    suffix = Path(name).suffix
    path = write_video("plain" + suffix, width=128, codec="mpeg4" if suffix == ".avi" else "libx264")
    path.rename(path.with_name(name))
    monkeypatch.chdir(path.parent)
    info, _ = probe(Path(name))
    assert info.duration == pytest.approx(1.0, abs=0.01)
    frames = read_frames(name, fps=5.0)
    assert grey_levels(frames.images) == LEVELS
    assert grey_levels(read_frames(name, start=0.4, fps=5.0).images) == LEVELS[2:]
    assert find_cuts(name, frames) == []
    with pytest.raises(VideoError) as caught:
        read_frames("no:" + name)
    assert caught.value.path == "no:" + name and caught.value.reason == "no such file"


def test_a_clip_says_how_much_of_it_could_be_read(sample_clips, detector, tmp_path):
    path = tmp_path / "broken.mkv"
    with av.open(str(sample_clips / "franck_0.mp4")) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    assert process_clip(path, detector, fps=2.0).readable == 1.0
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 0.3 < process_clip(path, detector, fps=2.0).readable < 0.7
