import numpy as np
import pytest

from favchat.video.windows import default_window, window_spans


@pytest.mark.parametrize(
    ("end", "window", "stride", "expected"),
    [
        (4.0, 2.0, 2.0, [(0, 2), (2, 4)]),
        (5.0, 2.0, 2.0, [(0, 2), (2, 4), (4, 5)]),  # half a window is worth one
        (4.9, 2.0, 2.0, [(0, 2), (2, 4)]),
        (1.2, 2.0, 2.0, [(0, 1.2)]),
        (3.0, 2.0, 0.5, [(0, 2), (0.5, 2.5), (1, 3)]),
        (5.0, 1.0, 2.0, [(0, 1), (2, 3), (4, 5)]),
    ],
)
def test_spans(end, window, stride, expected):
    assert np.allclose(window_spans(0.0, end, window, stride), expected)


def test_spans_begin_where_the_part_does():
    assert window_spans(1.5, 4.0, 1.0, 1.0) == [(1.5, 2.5), (2.5, 3.5), (3.5, 4.0)]
    with pytest.raises(ValueError, match="need begin < end"):
        window_spans(1.0, 1.0, 1.0, 1.0)


def test_a_long_video_has_longer_windows():
    assert default_window(0.0, 10.0) == 2.0
    assert len(window_spans(0.0, 320.0, *[default_window(0.0, 320.0)] * 2)) == 32
