import av
import numpy as np
import pytest

from favchat.video import read_frames
from favchat.video.colour import is_wide, to_rgb
from favchat.video.readers import read_decord, read_pyav

SIGNALS = (
    *((0.2,) * 3, (0.4,) * 3, (0.5081,) * 3, (0.58,) * 3, (0.75,) * 3),
    *((0.5, 0.35, 0.3), (0.3, 0.5, 0.35), (0.35, 0.3, 0.55)),
)
# What ffmpeg 5.1 makes of them: zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,
# tonemap=mobius:param=0.7:peak=10:desat=0,zscale=t=bt709; of BT.709's transfer function without the tone mapping.
PQ = [[54] * 3, [160] * 3, [240] * 3, [251] * 3, [255] * 3, [247, 79, 73], [0, 240, 95], [88, 69, 249]]
HLG = [[77] * 3, [154] * 3, [196] * 3, [227] * 3, [251] * 3, [221, 125, 111], [0, 200, 127], [137, 112, 222]]
SDR = [[51] * 3, [102] * 3, [130] * 3, [148] * 3, [192] * 3, [147, 83, 74], [0, 133, 85], [91, 74, 146]]


def patches(transfer, primaries=9):
    image = np.repeat(np.repeat(np.array(SIGNALS)[None], 16, axis=0), 16, axis=1)
    frame = av.VideoFrame.from_ndarray(np.round(image * 65535).astype(np.uint16), format="rgb48le")
    frame.color_trc, frame.color_primaries = transfer, primaries
    return frame


@pytest.mark.parametrize(("transfer", "right"), [(16, PQ), (18, HLG), (1, SDR)])
def test_hdr_and_wide_gamut_are_mapped_as_ffmpeg_maps_them(transfer, right):
    frame = patches(transfer)
    assert is_wide(frame)
    found = to_rgb(frame, 128, 16)
    assert found.dtype == np.uint8 and found.shape == (16, 128, 3)
    assert np.abs(found[8, 8::16].astype(int) - right).max() <= 1


def test_plain_colours_are_left_alone():
    frame = patches(1, primaries=1)
    assert not is_wide(frame)
    assert np.abs(to_rgb(frame, 128, 16)[8, 8::16] - np.array(SIGNALS) * 255).max() <= 1


GREY_PQ = np.array([0.0, 10.0, 30.0, 70.0])
"""cd/m2, all below the knee, where tone mapping leaves light alone."""


def write_video(path, image, *, source="rgb24", pixels="yuv420p", matrix=1, full=False, transfer=1, primaries=1):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = pixels
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if full else 1
        context.color_trc, context.color_primaries = transfer, primaries
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(image, format=source)
            frame = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=2 if full else 1)
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_pq_file_comes_out_as_bright_as_its_light(tmp_path):
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (GREY_PQ / 10000) ** m1
    signal = ((c1 + c2 * power) / (1 + c3 * power)) ** m2
    image = np.repeat(np.repeat(signal[None, :, None], 64, axis=0), 32, axis=1).repeat(3, axis=2)
    image = np.round(image * 65535).astype(np.uint16)
    path = write_video(
        tmp_path / "pq.mp4", image, source="rgb48le", pixels="yuv420p10le", matrix=9, transfer=16, primaries=9
    )
    frames = read_frames(path)
    assert frames.info.wide and frames.info.backend == "pyav"
    shown = frames.images[0][32, 16::32].mean(axis=1)
    np.testing.assert_allclose(shown, (GREY_PQ / 100) ** (1 / 2.4) * 255, atol=3)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])  # BT.709, BT.601 of 625 and of 525 lines, BT.2020
def test_both_readers_honour_range_and_matrix(tmp_path, matrix, full):
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [255, 255, 255]], np.uint8)
    image = np.repeat(np.repeat(colours[None], 64, axis=0), 32, axis=1)
    path = write_video(tmp_path / "flags.mp4", image, matrix=matrix, full=full)
    for found in (read_decord(path, np.array([0.0]), (128, 64)), read_pyav(path, np.array([0.0]), (128, 64))):
        assert np.abs(found.images[0][32, 16::32].astype(int) - colours).max() <= 4
