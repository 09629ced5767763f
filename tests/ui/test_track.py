"""The strip of frames with the tracked face."""

import re

import pytest

from tests.ui.conftest import described
from ui.track import overlay, track_strip

NOWHERE = [[0.0, 0.0]] * 5


def numbers(svg: str, element: str, *names: str) -> list[list[float]]:
    """Attributes of an element, wherever it stands in the drawing."""
    found = re.findall(f"<{element} ([^>]*)>", svg)
    return [[float(re.search(f'(?:^| ){name}="([^"]*)"', one)[1]) for name in names] for one in found]


def test_the_box_lies_where_the_shares_say() -> None:
    svg = overlay((200, 100), [0.25, 0.1, 0.75, 0.9], NOWHERE)
    assert numbers(svg, "rect", "x", "y", "width", "height") == [[50, 10, 100, 80]]


def test_a_box_beyond_the_picture_is_cut_off() -> None:
    svg = overlay((200, 100), [-0.5, 0.5, 0.5, 1.5], NOWHERE)
    assert numbers(svg, "rect", "x", "y", "width", "height") == [[0, 50, 100, 50]]


def test_the_landmarks_lie_where_the_shares_say() -> None:
    points = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8], [0.9, 1.0]]
    svg = overlay((200, 100), [0, 0, 1, 1], points)
    assert numbers(svg, "circle", "cx", "cy") == [[20, 20], [60, 40], [100, 60], [140, 80], [180, 100]]
    assert svg.split("<circle")[3].find("nose") > 0


def test_every_frame_has_its_picture_crop_and_time() -> None:
    strip = track_strip(described(frames=3))
    assert strip.count("<figure") == strip.count("<image ") == strip.count("<img ") == 3
    assert re.findall(r"<figcaption>([\d.]+) s", strip) == ["0.00", "0.25", "0.50"]
    assert "face in 2 of 3 sampled frames" in strip and "480 × 270" in strip


def test_no_box_is_drawn_where_the_face_was_lost() -> None:
    strip = track_strip(described(frames=3))
    assert strip.count("<rect") == 2
    assert strip.count('class="fc-lost"') == 1 and "no face" in strip.split("fc-lost")[1]


def test_what_is_no_picture_is_refused() -> None:
    video = described()
    video["track"]["frames"][1] = '"><script>'
    with pytest.raises(ValueError, match="no base64"):
        track_strip(video)


def test_lists_of_unequal_length_are_refused() -> None:
    video = described()
    video["track"]["crops"].pop()
    with pytest.raises(ValueError):
        track_strip(video)


def test_several_faces_are_not_followed_silently() -> None:
    strip = track_strip(described(people=3))
    assert "3 faces are seen" in strip and "The one on the &lt;left&gt;, in" in strip
    assert "fc-note" not in track_strip(described(people=1))


def test_what_could_not_be_read_is_told() -> None:
    assert "Only 53 % of the clip could be read" in track_strip(described(readable=0.526))
    assert "Only 99 %" in track_strip(described(readable=0.999))
