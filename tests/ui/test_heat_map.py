"""Heat maps of expert usage."""

import re

import pytest

from tests.ui.conftest import described
from ui.heat_map import SCALE, colour_of, contrast, expert_usage, heat_map, text_colour


def test_an_expert_is_a_row_and_a_frame_a_column() -> None:
    table = heat_map("Face tokens", [[0.0, 0.25, 1.0], [0.5, 0.75, 0.1]], [0.0, 1.5])
    rows = [re.findall(r">(\d+)</td>", row) for row in table.split("<tr>")[2:]]
    assert rows == [["0", "50"], ["25", "75"], ["100", "10"]]
    assert re.findall(r'<th scope="col">([\d.]+)', table) == ["0.0", "1.5"]
    assert 'title="expert 2, 1.50 s: 75% of the tokens"' in table


def test_as_many_times_as_frames() -> None:
    with pytest.raises(ValueError):
        heat_map("x", [[0.5, 0.5]], [0.0, 1.0])


def test_colours_run_from_the_scale_s_first_to_its_last() -> None:
    assert colour_of(0) == SCALE[0] and colour_of(0.5) == SCALE[2] and colour_of(1) == SCALE[-1]
    assert colour_of(-1) == SCALE[0] and colour_of(2) == SCALE[-1]


def test_more_is_always_darker() -> None:
    against_white = [contrast(colour_of(share / 100), (255, 255, 255)) for share in range(101)]
    assert against_white == sorted(against_white)
    assert against_white[-1] > 10 * against_white[0]


def test_numbers_can_be_read_on_every_colour() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    for share in range(101):
        colour = colour_of(share / 100)
        assert contrast(text_colour(colour), colour) >= 4.5


def test_each_layer_and_stream_has_a_map() -> None:
    usage = expert_usage(described(experts=4, layers=2))
    assert re.findall("<caption>(.*?)</caption>", usage) == [
        "Face tokens · layer 1",
        "Scene tokens · layer 1",
        "Face tokens · layer 2",
        "Scene tokens · layer 2",
    ]
    assert "each token goes to 1 of 4 experts" in usage
    assert "0 %" in usage and "100 %" in usage


def test_a_single_layer_is_not_numbered() -> None:
    assert "layer" not in expert_usage(described(layers=1))


def test_a_model_without_face_tokens_still_has_its_top_k() -> None:
    video = described(experts=4, layers=1)
    video["experts"]["layers"][0]["face"] = [[0.0] * 4] * 2
    assert "each token goes to 1 of 4 experts" in expert_usage(video)
