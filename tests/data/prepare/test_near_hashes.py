"""Pairs of hashes by comparing all, and by banding."""

import numpy as np
import pytest

from favchat.data.prepare import near_hashes
from favchat.data.prepare.near_hashes import band_count, band_pairs, close_pairs, hash_words, joined, nearest_of
from favchat.video.quality import DUPLICATE_DISTANCE, HASH_BITS


def flipped(words: np.ndarray, bits: int, random: np.random.Generator) -> np.ndarray:
    """A copy of one row with so many bits changed."""
    plain = np.unpackbits(words.view(np.uint8))
    plain[random.choice(HASH_BITS, bits, replace=False)] ^= 1
    return np.packbits(plain).view(np.uint64)


def recordings(distances: list[int], strangers: int) -> np.ndarray:
    """Random hashes, and of some of them a copy at each distance, in random order."""
    random = np.random.default_rng(0)
    words = random.integers(0, 2**64, (strangers, HASH_BITS // 64), dtype=np.uint64)
    copies = [flipped(words[number], bits, random) for number, bits in enumerate(distances)]
    return np.concatenate([words, np.stack(copies)])[random.permutation(strangers + len(distances))]


def banded(words: np.ndarray, first: int = 0) -> near_hashes.Pairs:
    return joined(band_pairs(words, first, band) for band in range(band_count(len(words))))


def test_banding_finds_what_comparing_all_finds() -> None:
    words = recordings([bits for bits in range(1, DUPLICATE_DISTANCE + 1, 3) for _ in range(8)] + [49, 60] * 8, 2000)
    for mine, exact in zip(banded(words), close_pairs(words), strict=True):
        assert mine.tolist() == exact.tolist()
    assert len(banded(words)[0]) == 16 * 8


def test_pairs_on_the_bound_are_missed_as_rarely_as_promised() -> None:
    words = recordings([DUPLICATE_DISTANCE] * 1500, 3000)
    assert len(banded(words)[0]) >= 1500 * (1 - 4 * near_hashes.MISSED)


def test_rows_that_were_decided_on_are_not_compared_among_themselves() -> None:
    words = recordings([3] * 40, 100)
    whole = banded(words)
    later = whole[0] >= 90
    assert [column.tolist() for column in banded(words, 90)] == [column[later].tolist() for column in whole]


def test_of_a_crowd_all_are_compared_with_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_hashes, "CROWD", 5)
    later, earlier, bits = banded(np.zeros((1000, HASH_BITS // 64), np.uint64))
    assert set(later.tolist()) == set(range(1, 1000)) and earlier.max() == 4 and not bits.any()
    assert len(later) < 6000


def test_few_rows_make_no_error() -> None:
    assert [len(column) for column in close_pairs(np.zeros((0, 6), np.uint64))] == [0, 0, 0]
    assert [len(column) for column in band_pairs(np.zeros((1, 6), np.uint64), 0, 0)] == [0, 0, 0]


def test_the_nearest_of_others_counts_and_of_equally_near_ones_the_first() -> None:
    hashes = ["0" * 95 + digit for digit in "0137f"]
    assert nearest_of([hashes[4], "f" * 96, hashes[1]], hashes[:4]) == [(0, 3, 1), (2, 1, 0)]
    assert nearest_of([], hashes) == [] == nearest_of(hashes, [])
    assert hash_words(hashes).shape == (5, 6)
