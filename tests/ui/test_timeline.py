"""The time axis."""

import re

import pytest

from tests.ui.conftest import described, scored
from ui.timeline import places, stacked, summary, timeline


def test_shares_are_stacked_and_gaps_stay_gaps() -> None:
    windows = scored()["over_time"]["windows"]
    [stretch] = stacked(windows, 2.5)
    assert stretch.times == [0.0, 0.5, 1.5, 2.0]
    bands = dict(stretch.bands)
    assert bands["happy"][1:3] == [(0.0, 0.8), (0.0, 0.2)]
    assert [high for _, high in bands["sadness"]] == pytest.approx([1.0] * 4)
    first, _, gone = windows
    assert len(stacked([first, gone, first], 2.5)) == 2 and stacked([gone], 2.5) == []


def test_the_course_in_words() -> None:
    windows = scored()["over_time"]["windows"]
    assert summary(windows) == "first happy, from 1.0 s neutral, from 2.0 s no face"
    assert summary(windows[:1]) == "happy throughout" and summary([]) == ""


def test_each_place_of_the_strip_prefers_what_the_model_looked_at() -> None:
    times = [0.0, 0.25, 0.5, 0.75, 1.0]
    assert places(2, 1.0, times, [0.0, 1.0]) == [0, 4]
    assert places(2, 1.0, times, []) == [1, 3]
    assert places(4, 2.0, times, [])[-1] == -1


def test_frames_are_outlined_and_lost_faces_faded() -> None:
    page = timeline(described(frames=3), scored(), mattered=[0.25])
    assert re.findall(r'<img class="([^"]*)"', page) == ["fc-used", "fc-why", "fc-lost fc-used"]
    assert "seen in 2 of 3 moments" in page and "rested on" in page
    assert "rested on" not in timeline(described(), scored())


def test_before_the_scores_the_faces_are_shown() -> None:
    page = timeline(described(), None)
    assert "<img" in page and "<polygon" not in page


def test_what_is_no_picture_is_refused() -> None:
    video = described()
    video["track"]["crops"][1] = '"><script>'
    with pytest.raises(ValueError, match="no base64"):
        timeline(video, scored())
