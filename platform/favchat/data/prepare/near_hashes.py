"""Pairs of clips whose hashes differ in few bits: by comparing all of them, or where there are many, by banding.

Banding (locality-sensitive hashing by bit sampling, Indyk and Motwani 1998): each band takes some of the bits; only
clips that agree in all bits of a band are compared, in all 384 bits. The more bits a band takes the fewer clips agree
by chance, and the more bands it takes to find a pair; both numbers follow from the number of clips and `MISSED`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from favchat.video.quality import DUPLICATE_DISTANCE, HASH_BITS

MISSED = 0.001
"""How likely banding misses a pair that differs in `DUPLICATE_DISTANCE` bits; nearer ones are missed more rarely: with
half of the bits less than once in a billion."""
EXACT_PAIRS = 100_000_000
"""Up to so many pairs are all compared, which takes about a second."""
CROWD = 256
"""Of more clips than that which agree in a band, the first so many are compared with all others."""
_CHUNK = 256  # rows compared at once with all others: 60,000 of these need 120 MB
_PAIRS_AT_ONCE = 1_000_000
_SEED = 384

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]
"""(P,) positions of the later rows, (P,) of the earlier ones, (P,) differing bits."""


def hash_words(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """(N, W) uint64 from N hexadecimal hashes."""
    data = b"".join(bytes.fromhex(text) for text in hashes)
    return np.frombuffer(data, np.uint64).reshape(len(hashes), HASH_BITS // 64)


def close_pairs(words: NDArray[np.uint64], first: int = 0) -> Pairs:
    """All pairs within `DUPLICATE_DISTANCE`, or nearly all (`MISSED`) where there are many rows.

    Args:
        words: (N, W) uint64, see `hash_words`.
        first: Rows before are compared with the others, not among themselves.
    """
    if (len(words) - first) * len(words) <= EXACT_PAIRS:
        return joined(_compared(words, first))
    return joined(band_pairs(words, first, band) for band in range(band_count(len(words))))


def band_bits(rows: int) -> int:
    """Bits of a band: as many as tell so many rows apart, and two more."""
    return max(8, math.ceil(math.log2(max(rows, 2))) + 2)


def band_count(rows: int) -> int:
    """Bands for which a pair of `DUPLICATE_DISTANCE` differing bits is missed with probability `MISSED`."""
    bits = band_bits(rows)
    agree = math.comb(HASH_BITS - DUPLICATE_DISTANCE, bits) / math.comb(HASH_BITS, bits)
    return math.ceil(math.log(MISSED) / math.log1p(-agree))


def band_pairs(words: NDArray[np.uint64], first: int, band: int) -> Pairs:
    """The pairs within `DUPLICATE_DISTANCE` that one band finds.

    Args:
        words: As for `close_pairs`.
        first: As for `close_pairs`.
        band: Its number, below `band_count`.
    """
    if first >= len(words):
        return joined(())
    keys = np.zeros(len(words), np.uint64)
    chosen = np.random.default_rng([_SEED, band]).choice(HASH_BITS, band_bits(len(words)), replace=False)
    for place, bit in enumerate(chosen):
        keys |= ((words[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)) << np.uint64(place)
    order = np.argsort(keys, kind="stable")  # rows that agree come in their own order
    keys = keys[order]
    begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    sizes = np.diff(np.r_[begins, len(keys)])
    begin = np.repeat(begins, sizes)  # (N,) of each place in `order` where those that agree with it begin
    earlier = np.minimum(np.arange(len(keys)) - begin, CROWD)  # how many of them it is compared with
    earlier[order < first] = 0
    return joined(_verified(words, order, begin, earlier))


def _verified(
    words: NDArray[np.uint64], order: NDArray[np.int64], begin: NDArray[np.int64], earlier: NDArray[np.int64]
) -> Iterator[Pairs]:
    places = np.flatnonzero(earlier)
    ends = np.cumsum(earlier[places])
    for start in range(0, int(ends[-1]) if len(ends) else 0, _PAIRS_AT_ONCE):
        pair = np.arange(start, min(start + _PAIRS_AT_ONCE, int(ends[-1])))
        which = np.searchsorted(ends, pair, side="right")
        place = places[which]
        other = begin[place] + pair - (ends[which] - earlier[place])
        later, former = order[place], order[other]
        bits = np.zeros(len(pair), np.uint16)
        for word in range(words.shape[1]):
            bits += np.bitwise_count(words[later, word] ^ words[former, word])
        near = bits <= DUPLICATE_DISTANCE
        yield later[near], former[near], bits[near]


def _compared(words: NDArray[np.uint64], first: int) -> Iterator[Pairs]:
    for start in range(first, len(words), _CHUNK):
        stop = min(start + _CHUNK, len(words))
        total = np.zeros((stop - start, stop), np.uint16)
        for word in range(words.shape[1]):  # in a loop: broadcasting over W would need W times the memory
            total += np.bitwise_count(words[start:stop, None, word] ^ words[None, :stop, word])
        later, earlier = np.nonzero(total <= DUPLICATE_DISTANCE)
        before = earlier < later + start
        later, earlier = later[before], earlier[before]
        yield later + start, earlier, total[later, earlier]


def joined(parts: Iterable[Pairs]) -> Pairs:
    """Pairs of several parts, each pair once, ordered by the later row and then from the nearest on."""
    none: Pairs = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16))
    later, earlier, bits = (np.concatenate(columns) for columns in zip(none, *parts, strict=True))
    order = np.lexsort((earlier, bits, later))
    later, earlier, bits = later[order], earlier[order], bits[order]
    new = np.ones(len(later), bool)
    new[1:] = (later[1:] != later[:-1]) | (earlier[1:] != earlier[:-1])
    return later[new], earlier[new], bits[new]


def nearest_of(some: Sequence[str], others: Sequence[str]) -> list[tuple[int, int, int]]:
    """For each hash find the nearest of others, if it is a near-duplicate.

    Args:
        some: Hashes, as a shard holds them.
        others: Hashes to compare with; of equally near ones the first counts.

    Returns:
        Position in `some`, position in `others`, and Hamming distance.
    """
    if not some or not others:
        return []
    found: dict[int, tuple[int, int]] = {}
    pairs = close_pairs(hash_words([*others, *some]), first=len(others))
    for later, earlier, bits in zip(*(column.tolist() for column in pairs), strict=True):
        if earlier < len(others):
            found.setdefault(later - len(others), (earlier, bits))
    return [(one, *pair) for one, pair in sorted(found.items())]
