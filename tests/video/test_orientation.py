import struct

import av
import numpy as np
import pytest

from favchat.video import read_frames
from favchat.video.decode import probe
from favchat.video.orientation import Orientation
from favchat.video.readers import read_decord, read_pyav

WIDE = 128
MATRICES = {
    # What ffmpeg inserts for a display matrix a b / c d (its `autorotate`), and how we call it.
    (1, 0, 0, 1): ([], Orientation(0, False)),
    (0, 1, -1, 0): ([("transpose", "clock")], Orientation(90, False)),
    (-1, 0, 0, -1): ([("hflip", None), ("vflip", None)], Orientation(180, False)),
    (0, -1, 1, 0): ([("transpose", "cclock")], Orientation(270, False)),
    (-1, 0, 0, 1): ([("hflip", None)], Orientation(0, True)),
    (1, 0, 0, -1): ([("vflip", None)], Orientation(180, True)),
    (0, 1, 1, 0): ([("transpose", "cclock_flip")], Orientation(90, True)),
    (0, -1, -1, 0): ([("transpose", "clock_flip")], Orientation(270, True)),
}


@pytest.fixture
def write_turned(tmp_path):
    """Write a picture without any symmetry under a display matrix; gives the file and the stored frame."""

    def write(matrix):
        rows, columns = np.mgrid[:64, :WIDE]
        image = np.stack([rows * 3, columns, np.full_like(rows, 90)], axis=2).astype(np.uint8)
        plain = tmp_path / "plain.mp4"
        with av.open(str(plain), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
            stream.width, stream.height, stream.pix_fmt = WIDE, 64, "yuv420p"
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        data = bytearray(plain.read_bytes())
        place = data.find(b"tkhd") + 44  # version 0: the matrix lies 40 bytes behind the box's version
        unit = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
        assert data[place : place + 36] == unit
        a, b, c, d = (value << 16 for value in matrix)
        data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path = tmp_path / "turned.mp4"
        path.write_bytes(data)
        with av.open(str(plain)) as container:
            return path, next(container.decode(video=0))

    return write


def filtered(frame, filters):
    graph = av.filter.Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    for name, arguments in [*filters, ("format", "rgb24"), ("buffersink", None)]:
        node = graph.add(name, arguments)
        last.link_to(node)
        last = node
    graph.configure()
    graph.push(frame)
    return graph.pull().to_ndarray()


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_orientations_are_what_ffmpeg_shows(write_turned, matrix):
    path, stored = write_turned(matrix)
    filters, orientation = MATRICES[matrix]
    shown = filtered(stored, filters).astype(int)
    info, _ = probe(path)
    assert (info.rotation, info.mirrored) == orientation
    assert (info.height, info.width) == shown.shape[:2]
    times, size = np.array([0.0]), (info.width, info.height)
    readers = [read_frames(path).images, read_pyav(path, times, size, orientation).images]
    if not info.mirrored:  # decord is not asked for mirrored ones, which it turns only
        readers.append(read_decord(path, times, size).images)
    for images in readers:
        assert np.abs(images[0] - shown).mean() < 1
    assert read_frames(path).info.backend == ("pyav" if info.mirrored else "decord")


def test_a_turn_that_is_no_right_angle_is_rounded(write_turned, monkeypatch):
    path, _ = write_turned((1, 0, 0, 1))
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd") + 44
    slant = round(0.1 * (1 << 16))
    data[place : place + 20] = struct.pack(">5i", 1 << 16, slant, 0, -slant, 1 << 16)
    path.write_bytes(data)
    info, _ = probe(path)
    assert (info.rotation, info.mirrored, info.width, info.height) == (0, False, WIDE, 64)
