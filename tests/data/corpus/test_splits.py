"""Splits: the same key always in the same split, whatever else there is."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from favchat.config import DataConfig
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.splits import draw_splits, split_key, split_of

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}

clips = st.builds(
    Clip,
    id=st.text("abcdef", min_size=1, max_size=4),
    video=st.just("/v"),
    identity=st.none() | st.text("ab", max_size=2),
)
corpora = st.lists(clips, max_size=30, unique_by=lambda clip: clip.id)


def splits(listed: list[Clip]) -> dict[str, str]:
    return {clip.id: split_of(split_key(clip), SHARES, 7) for clip in listed}


@given(corpora, corpora)
def test_adding_clips_moves_none(some: list[Clip], more: list[Clip]) -> None:
    before = splits(some)
    added = [clip for clip in more if clip.id not in before]
    after = splits([*added, *some])
    assert {clip_id: after[clip_id] for clip_id in before} == before


@given(corpora)
def test_no_identity_is_in_two_splits(some: list[Clip]) -> None:
    found = defaultdict(set)
    for clip in some:
        if clip.identity is not None:
            found[clip.identity].add(splits(some)[clip.id])
    assert all(len(names) == 1 for names in found.values())


def test_identities_and_ids_are_told_apart() -> None:
    assert split_key(Clip(id="b", video="/v")) != split_key(Clip(id="a", video="/v", identity="b"))


def test_the_shares_are_met_and_the_seed_draws_anew() -> None:
    keys = [f"identity/{number}" for number in range(20_000)]
    counts = Counter(split_of(key, SHARES, 0) for key in keys)
    assert counts["train"] == pytest.approx(16_000, abs=250) and counts["val"] == pytest.approx(2_000, abs=200)
    assert [split_of(key, SHARES, 0) for key in keys[:100]] != [split_of(key, SHARES, 1) for key in keys[:100]]


def test_a_known_draw_and_the_order_of_the_shares() -> None:
    drawn = [split_of(f"identity/{number}", SHARES, 0) for number in range(12)]
    assert drawn == [split_of(f"identity/{number}", dict(reversed(SHARES.items())), 0) for number in range(12)]
    # Another draw would move clips of corpora that people have.
    assert drawn == [
        "test",
        "test",
        "train",
        "train",
        "train",
        "val",
        "train",
        "train",
        "test",
        "test",
        "train",
        "train",
    ]


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "val": -0.5}, {"": 1.0}])
def test_shares_that_are_no_distribution(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be named, 0 or more and sum to 1"):
        split_of("key", shares, 0)
    with pytest.raises(ValueError, match="must be named, 0 or more and sum to 1"):
        DataConfig(splits=shares)


def test_only_clips_without_a_split_get_one() -> None:
    named = [Clip(id="a", video="/v", split="test"), Clip(id="b", video="/v")]
    assert [clip.split for clip in draw_splits(named, {"held_out": 1.0}, 0)] == ["test", "held_out"]
