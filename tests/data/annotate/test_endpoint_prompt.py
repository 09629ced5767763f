"""Prompts are files that a person can edit."""

from pathlib import Path

import pytest

from favchat.config import ConfigError
from favchat.data.annotate.endpoint_prompt import read_prompts, spread
from favchat.data.annotate.known_labels import known_labels_of
from tests.data.annotate.conftest import make_clip


def folder(path: Path, system: str = "You write.", user: str = "$true") -> str:
    (path / "system.txt").write_text(system)
    (path / "user.txt").write_text(user)
    return str(path)


def test_labels_and_times_are_filled_in(tmp_path: Path) -> None:
    prompts = read_prompts(
        folder(tmp_path, user="$frames|$times|$true|$false|$emotion|$summaries|$questions|$$5"), 2, 9
    )
    clip = make_clip("a", segments=[("neutral", 0, 1.2), ("happy", 1.2, 3)], male=0, blurry=0, bangs=1, no_beard=1)
    system, user = prompts.messages(known_labels_of(clip), [b"x", b"y"], [0.0, 1.25])
    assert system == {"role": "system", "content": "You write."}
    assert user["content"][0]["text"] == (
        "2|0.0 s, 1.2 s|has bangs|the video is blurry; is male; has a beard"
        "|neutral from 0.0 s to 1.2 s; happy from 1.2 s to 3.0 s|2|9|$5"
    )
    assert user["content"][1]["image_url"]["url"] == "data:image/jpeg;base64,eA=="
    nothing = prompts.messages(known_labels_of(make_clip("b")), [b"x"], [0.0])[1]["content"][0]["text"]
    assert nothing == "1|0.0 s|nothing|nothing|not labelled|2|9|$5"


@pytest.mark.parametrize(
    ("user", "message"),
    [("$labels", "the placeholder labels, and there are only \\$emotion"), ("5 $", "dollar"), (" ", "is empty")],
)
def test_a_prompt_that_cannot_be_used_is_named(tmp_path: Path, user: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"annotate.endpoint.prompts: .*user.txt .*{message}"):
        read_prompts(folder(tmp_path, user=user), 1, 1)


def test_a_missing_prompt_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="system.txt cannot be read"):
        read_prompts(str(tmp_path), 1, 1)


@pytest.mark.parametrize(
    ("count", "wanted", "places"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (9, 1, [4]), (4, 4, [0, 1, 2, 3])]
)
def test_frames_are_spread_over_the_clip(count: int, wanted: int, places: list[int]) -> None:
    assert spread(count, wanted) == places
