from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from favchat.video import VideoError, read_frames
from favchat.video.decode import fit_size, probe
from favchat.video.frame_cursor import Cursor
from favchat.video.frame_times import frames_on_display
from favchat.video.orientation import Orientation
from favchat.video.readers import DecordUnfitError, read_decord, read_pyav, read_spans

WIDE = 128
"""A width that decord reads on every processor; which narrower ones it refuses depends on the length of its vectors."""


def grey_levels(images):
    """The number of each frame, read back from its bottom right corner."""
    return [round((float(image[-8:, -8:].mean()) - 20) / 6) for image in images]


def test_samples_at_fps_with_presentation_times(write_video):
    frames = read_frames(write_video(), fps=5.0)
    assert frames.images.shape == (5, 64, 96, 3) and frames.images.dtype == np.uint8
    assert grey_levels(frames.images) == [0, 5, 10, 15, 20]
    np.testing.assert_allclose(frames.timestamps, [0.0, 0.2, 0.4, 0.6, 0.8], atol=1e-3)
    info = frames.info
    assert (info.width, info.height, info.num_frames, info.codec, info.rotation) == (96, 64, 25, "h264", 0)
    assert info.fps == pytest.approx(25.0) and info.duration == pytest.approx(1.0, abs=0.05)


def test_more_than_max_frames_become_uniform(write_video):
    frames = read_frames(write_video(), fps=25.0, max_frames=5)
    assert grey_levels(frames.images) == [2, 7, 12, 17, 22]


def test_no_frame_comes_twice(write_video):
    assert grey_levels(read_frames(write_video(times=[0.0, 0.5, 1.0]), fps=30.0, max_frames=64).images) == [0, 1, 2]


def test_variable_rate_gives_real_times(write_video):
    times = [0.0, 0.1, 0.9, 1.0, 1.1, 1.2, 1.9]
    frames = read_frames(write_video(times=times), fps=4.0, end=1.9)
    assert grey_levels(frames.images) == [0, 1, 3, 5]  # moments 0, .25 to .75, 1.0, 1.25 to 1.75
    np.testing.assert_allclose(frames.timestamps, [0.0, 0.1, 1.0, 1.2], atol=2e-3)


@pytest.mark.parametrize("reader", ["decord", "pyav"])
@pytest.mark.parametrize(
    "rotation, clockwise, corner", [(0, 0, (0, 0)), (-90, 90, (0, 1)), (180, 180, (1, 1)), (90, 270, (1, 0))]
)
def test_rotation_is_honoured_by_both_readers(write_video, reader, rotation, clockwise, corner):
    path = write_video(rotation=rotation, width=WIDE)
    info, _ = probe(path)
    assert info.rotation == clockwise
    assert (info.width, info.height) == ((64, WIDE) if clockwise in (90, 270) else (WIDE, 64))
    size, times, way = (info.width, info.height), np.array([0.0, 0.5]), Orientation(info.rotation)
    found = read_decord(path, times, size) if reader == "decord" else read_pyav(path, times, size, way)
    image = found.images[0]
    assert image.shape == (info.height, info.width, 3)
    quarters = image.mean(axis=2).reshape(2, info.height // 2, 2, info.width // 2).mean(axis=(1, 3))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == corner


def test_both_readers_agree_on_a_real_clip(sample_clips):
    path = sorted(sample_clips.glob("*.mp4"))[0]
    info, _ = probe(path)
    size, times = fit_size(info.width, info.height, 160), np.linspace(0.0, info.duration, 12, endpoint=False)
    ours, theirs = read_decord(path, times, size), read_pyav(path, times, size)
    np.testing.assert_allclose(ours.times, theirs.times, atol=1e-3)
    assert np.abs(np.stack(ours.images).astype(int) - np.stack(theirs.images)).mean() < 2.0


def test_scaled_to_max_side_but_never_up(write_video):
    path = write_video(width=128, height=64)
    assert read_frames(path, max_side=50).images.shape[1:3] == (24, 50)
    assert read_frames(path, max_side=500).images.shape[1:3] == (64, 128)
    assert fit_size(64, 1024, 640) == (40, 640)
    assert fit_size(33, 35, None) == (32, 34)


def test_pixels_become_square(write_video):
    path = write_video(width=96, height=64, aspect=Fraction(2, 1))
    assert read_frames(path).images.shape[1:3] == (32, 96)


def test_a_part_is_read_without_the_rest(write_video, monkeypatch):
    path = write_video(times=np.arange(40) / 4)  # 10 s, a key frame every 3 s
    packets = []
    decode = av.Packet.decode
    monkeypatch.setattr(
        "favchat.video.readers.read_decord", lambda *args: pytest.fail("decord reads all packets of the file")
    )

    class Counted:
        def __init__(self, packet):
            self.packet = packet

        def __getattr__(self, name):
            return getattr(self.packet, name)

        def decode(self):
            packets.append(self.packet.pts)
            return decode(self.packet)

    class Container:
        def __init__(self, container):
            self.inner = container

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def demux(self, stream):
            return (Counted(packet) for packet in self.inner.demux(stream))

    plain = Cursor.__init__
    monkeypatch.setattr(Cursor, "__init__", lambda self, container: plain(self, Container(container)))
    frames = read_frames(path, start=7.0, end=8.0, fps=4.0)
    assert grey_levels(frames.images) == [28, 29, 30, 31]
    np.testing.assert_allclose(frames.timestamps, [0.0, 0.25, 0.5, 0.75], atol=2e-3)
    assert len(packets) < 25


@pytest.mark.parametrize("start", [0.3, 2.9, 3.0, 3.1, 9.5])
def test_seeking_finds_the_frame_that_decoding_on_finds(write_video, start):
    path = write_video(times=np.arange(40) / 4)
    assert grey_levels(read_frames(path, start=start, fps=100.0, max_frames=1, end=start + 0.1).images) == [
        int((start + 0.051) * 4)
    ]


@pytest.mark.parametrize(
    "name, codec",
    [("made.mkv", "libx264"), ("made.avi", "mpeg4"), ("made.mpg", "mpeg1video"), ("made.webm", "libvpx-vp9")],
)
def test_other_containers(write_video, name, codec):
    backend = "decord" if name.endswith(("mkv", "webm")) else "pyav"
    width = WIDE if backend == "decord" else 96
    path = write_video(name, codec=codec, width=width, ticks=25 if codec == "mpeg1video" else 1000)
    frames = read_frames(path, fps=5.0)
    # MPEG program streams store no duration; FFmpeg's estimate may miss the last frames.
    assert grey_levels(frames.images)[:4] == [0, 5, 10, 15]
    assert frames.info.backend == backend


def test_pyav_takes_over_where_decord_refuses(write_video, monkeypatch):
    def refuse(*args):
        raise DecordUnfitError("no")

    monkeypatch.setattr("favchat.video.decode.read_decord", refuse)
    frames = read_frames(write_video(), fps=5.0)
    assert frames.info.backend == "pyav" and grey_levels(frames.images) == [0, 5, 10, 15, 20]


def test_tiny_pictures(write_video):
    assert read_frames(write_video(width=32, height=32), fps=4.0).images.shape == (4, 32, 32, 3)


def reason(path, **settings):
    with pytest.raises(VideoError) as caught:
        read_frames(path, **settings)
    assert str(path) in str(caught.value)
    return caught.value.stage, caught.value.reason


def test_files_that_are_no_videos_say_why(tmp_path, write_video):
    assert reason(tmp_path / "none.mp4") == ("open", "no such file")
    assert reason(tmp_path) == ("open", "this is a directory without numbered images, not a file")
    (tmp_path / "empty.mp4").touch()
    assert reason(tmp_path / "empty.mp4") == ("open", "the file is empty (0 bytes)")
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    assert reason(tmp_path / "text.mp4") == ("open", "not a video file, or its header is damaged")
    whole = write_video().read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[:64])
    assert reason(tmp_path / "head.mp4")[0] == "open"


def test_audio_only_says_so(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert reason(path) == ("open", "no video stream: the file holds audio only")


def test_a_start_beyond_the_end_says_so(write_video):
    stage, why = reason(write_video(), start=5.0)
    assert stage == "open" and "beyond the end" in why and "1.0" in why


def damaged(source, target, positions):
    data = bytearray(source.read_bytes())
    begin = data.find(b"mdat") + 4
    length = int.from_bytes(data[begin - 8 : begin - 4], "big") - 8
    for share in positions:
        place = begin + int(share * length)
        data[place : place + 40] = bytes(255 - b for b in data[place : place + 40])
    target.write_bytes(data)
    return target


def test_damage_keeps_the_frames_before_it(sample_clips, tmp_path):
    source = sorted(sample_clips.glob("*.mp4"))[0]
    info, _ = probe(source)
    size, times = fit_size(info.width, info.height, 160), np.linspace(0.0, info.duration, 12, endpoint=False)
    clean = read_pyav(source, times, size)
    broken = read_pyav(damaged(source, tmp_path / "broken.mp4", [0.6, 0.7]), times, size)
    assert broken.damaged and 2 <= len(broken.images) < len(clean.images)
    for image, time in zip(broken.images, broken.times, strict=True):
        if time in clean.times:
            np.testing.assert_array_equal(image, clean.images[clean.times.index(time)])


def test_a_video_with_nothing_intact_is_an_error(sample_clips, tmp_path):
    source = sorted(sample_clips.glob("*.mp4"))[0]
    path = damaged(source, tmp_path / "ruin.mp4", np.linspace(0.0, 0.99, 400))
    stage, why = reason(path)
    assert stage == "decode" and "damaged" in why


@pytest.mark.parametrize(
    "settings", [{"fps": 0.0}, {"max_frames": 0}, {"start": -1.0}, {"start": 2.0, "end": 1.0}, {"max_side": 1}]
)
def test_settings_are_checked_before_the_file(tmp_path, settings):
    with pytest.raises(ValueError):
        read_frames(tmp_path / "none.mp4", **settings)


def image_folder(folder, count=10):
    folder.mkdir()
    for number in range(count):  # the order of the names is not that of the numbers
        grey = np.full((48, 64, 3), 20 + 6 * number, np.uint8)
        assert cv2.imwrite(str(folder / f"0.{number + 7}.png"), grey)
    return folder


def test_a_folder_of_numbered_images_is_a_video_of_25_fps(tmp_path):
    folder = image_folder(tmp_path / "3")
    (folder / "notes.txt").touch()
    frames = read_frames(folder, fps=12.5, max_side=32)
    assert frames.images.shape == (5, 24, 32, 3) and grey_levels(frames.images) == [0, 2, 4, 6, 8]
    np.testing.assert_allclose(frames.timestamps, [0.0, 0.08, 0.16, 0.24, 0.32])
    info = frames.info
    assert (info.width, info.height, info.num_frames, info.fps, info.duration) == (64, 48, 10, 25.0, 0.4)
    assert (info.codec, info.backend) == ("png", "images")
    part = read_frames(folder, start=0.2, end=0.3, fps=25.0)
    assert grey_levels(part.images) == [5, 6, 7] and part.timestamps[0] == 0.0


def test_damaged_images_of_a_folder_are_left_out(tmp_path):
    folder = image_folder(tmp_path / "3", count=4)
    (folder / "0.8.png").write_bytes(b"damaged")
    frames = read_frames(folder, fps=25.0)
    assert grey_levels(frames.images) == [0, 2, 3] and frames.readable == 0.75 and frames.info.times_guessed
    for path in folder.iterdir():
        path.write_bytes(b"damaged")
    assert reason(folder) == ("open", "none of the images in this directory can be read")


@pytest.mark.parametrize("name, codec", [("long.mp4", "libx264"), ("long.mkv", "libx264"), ("long.avi", "mpeg4")])
def test_of_a_long_video_only_the_part_is_decoded(write_video, monkeypatch, name, codec):
    # 10 minutes at 4 frames a second with a key frame every 3 s.
    path = write_video(name, times=np.arange(2400) / 4, codec=codec, width=32, height=32, ticks=4)
    monkeypatch.setattr("favchat.video.decode.read_decord", lambda *args: pytest.fail("decord reads the whole file"))
    decoded = []
    decode = Cursor._decode

    def watched(self, *arguments):
        for picture in decode(self, *arguments):
            decoded.append(picture.frame.pts)
            yield picture

    monkeypatch.setattr(Cursor, "_decode", watched)
    part = read_frames(path, start=500.0, end=502.0, fps=4.0)
    assert len(part.images) == 8
    np.testing.assert_allclose(part.timestamps, np.arange(8) / 4, atol=2e-3)
    # Twice the first frame, the way from the key frame, the part, and one beyond.
    assert len(set(decoded)) <= 1 + 12 + 8 + 1
    decoded.clear()
    ((begins, images),) = read_spans(path, [(300.0, 301.0)], 16)
    np.testing.assert_allclose(begins, [300.0, 300.25, 300.5, 300.75, 301.0], atol=2e-3)
    assert images.shape == (5, 16, 16, 3) and len(set(decoded)) <= 1 + 12 + 5 + 1
    decoded.clear()
    whole = read_frames(path, max_frames=4)
    np.testing.assert_allclose(whole.timestamps, whole.info.duration * (np.arange(4) + 0.5) / 4, atol=0.25)
    assert len(set(decoded)) <= 1 + 4 * 14


@pytest.mark.parametrize("name", ["searched.ts", "searched.mkv"])
def test_a_seek_that_has_to_search_finds_the_same_frames(write_video, name):
    # Uneven times: what is on display may have begun long before. A transport stream has no index.
    times = np.cumsum(np.where(np.arange(600) % 7 == 0, 0.12, 0.04))
    path = write_video(name, times=times, key_every=100)
    with av.open(str(path)) as container:
        pictures = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    begins = np.asarray([time for time, _ in pictures]) - pictures[0][0]
    part = read_frames(path, start=20.0, end=24.0, fps=4.0)
    index = frames_on_display(begins, np.arange(16) / 4 + 20.0)
    assert len(part.images) == len(index) == 16
    for image, number in zip(part.images, index, strict=True):
        assert np.abs(image.astype(int) - pictures[number][1]).mean() < 2
