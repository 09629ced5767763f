"""Which frames mattered, in words."""

import pytest

from ui.why import explain


def told(*weights: float | None, by: str = "words") -> dict:
    return {"by": by, "frames": [{"time": 0.5 * index, "weight": weight} for index, weight in enumerate(weights)]}


@pytest.mark.parametrize(
    ("case", "times", "words"),
    [
        (told(0.1, 0.7, 0.4, -0.2), (0.5, 1.0), "0.5 s (50 % as likely without it), 1.0 s"),
        (told(0.01, -3.0), (), "no single frame"),
        (told(None), (), "one frame alone"),
        (told(0.0, 0.0, by="rule"), (), "by a rule"),
    ],
)
def test_frames_near_the_heaviest_are_named(case, times, words) -> None:
    found = explain(case)
    assert found.times == times and words in found.words
