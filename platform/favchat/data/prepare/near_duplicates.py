"""Near-duplicates among the clips of a corpus: which rows are dropped, and which must share a split.

Hashes are known only after decoding, so this runs afterwards, over the small columns of all shards. Decisions are first
written to one file and then applied shard by shard, so that an interrupted run resumes from them. They are final: clips
that are added later never change rows that are already in the corpus.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from upath import UPath

from favchat.data.corpus.clip import Clip, clip_of
from favchat.data.corpus.parquet_files import name_for, parquet_files, read_folder, read_table, write_whole
from favchat.data.corpus.schema import REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.video.quality import DUPLICATE_DISTANCE, HASH_BITS

RECORD = "duplicates.parquet"
"""Name of the record in ``data.out``."""
RECORD_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("duplicate_of", pa.string()),
        pa.field("distance", pa.int32()),
        pa.field("dropped", pa.bool_(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
_COLUMNS = ["clip_id", "video", "split", "duplicate_hash"]
_CHUNK = 256  # rows compared at once with all others: 60,000 of these need 120 MB
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """The values of a shard's row that deduplication depends on."""

    clip_id: str
    video: str
    split: str
    duplicate_hash: str
    reassignable: bool
    """Whether the split may change: it was drawn, not named by the source, and no identity decided it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a row."""

    clip_id: str
    duplicate_of: str | None
    """The row of another video that it nearly duplicates; None: there is none."""
    distance: int | None
    """Hamming distance of the two hashes."""
    dropped: bool
    split: str


def decide(existing: Sequence[Row], new: Sequence[Row], *, drop: bool) -> list[Decision]:
    """Decide on new rows by comparing each with all rows before it.

    A row is a near-duplicate of an earlier one if it comes from another video and at most ``DUPLICATE_DISTANCE`` bits
    of the hashes differ; of several the nearest counts. Rows of the same video are not compared, since listing two
    parts or two faces of a video is intentional.

    A reassignable row takes the split of an earlier row of the same video, else of its near-duplicate, so that
    neither videos nor near-duplicates are divided between splits.

    Args:
        existing: Rows that earlier runs decided on.
        new: Rows to decide on, in order of precedence.
        drop: Whether near-duplicates are dropped.

    Returns:
        One decision per new row, in their order.
    """
    rows = [*existing, *new]
    words = _words([row.duplicate_hash for row in rows])
    splits = [row.split for row in rows]
    first_of_video: dict[str, int] = {}
    for index, row in enumerate(existing):
        first_of_video.setdefault(row.video, index)
    kept = np.ones(len(rows), dtype=bool)
    decisions = []
    for start in range(len(existing), len(rows), _CHUNK):
        stop = min(start + _CHUNK, len(rows))
        distances = _distances(words[start:stop], words[:stop])  # (stop - start, stop)
        for index in range(start, stop):
            row, near = rows[index], distances[index - start, :index]
            others = [
                int(other)
                for other in np.flatnonzero((near <= DUPLICATE_DISTANCE) & kept[:index])
                if rows[other].video != row.video
            ]
            nearest_duplicate = min(others, key=lambda other: (near[other], other), default=None)
            sibling = first_of_video.get(row.video)
            leader = nearest_duplicate if sibling is None else sibling
            if leader is not None and row.reassignable:
                splits[index] = splits[leader]
            kept[index] = nearest_duplicate is None or not drop
            if kept[index]:
                first_of_video.setdefault(row.video, index)
            decisions.append(
                Decision(
                    clip_id=row.clip_id,
                    duplicate_of=None if nearest_duplicate is None else rows[nearest_duplicate].clip_id,
                    distance=None if nearest_duplicate is None else int(near[nearest_duplicate]),
                    dropped=not kept[index],
                    split=splits[index],
                )
            )
    return decisions


def near_pairs(some: Sequence[str], others: Sequence[str]) -> list[tuple[int, int, int]]:
    """For each hash find the nearest of others, if it is a near-duplicate.

    Args:
        some: Hashes, as a shard holds them.
        others: Hashes to compare with; of equally near ones the first counts.

    Returns:
        Position in `some`, position in `others`, and Hamming distance.
    """
    if not some or not others:
        return []
    words = _words(others)
    pairs = []
    for start in range(0, len(some), _CHUNK):
        distances = _distances(_words(some[start : start + _CHUNK]), words)
        nearest = distances.argmin(axis=1)
        for index, (other, bits) in enumerate(zip(nearest, distances.min(axis=1), strict=True)):
            if bits <= DUPLICATE_DISTANCE:
                pairs.append((start + index, int(other), int(bits)))
    return pairs


def apply_dedup(out: UPath, clips: Sequence[Clip], *, drop: bool, drawn: Collection[str]) -> None:
    """Decide on the rows of a corpus that no earlier run decided on, and apply the decisions.

    Dropped near-duplicates become rejects of the stage ``duplicate``.

    Args:
        out: The corpus (``data.out``).
        clips: The source's clips; of two new near-duplicates, the one of the earlier clip is kept.
        drop: As for ``decide``.
        drawn: Ids of the clips whose split was drawn, not named by the source.

    Raises:
        OSError: The output cannot be written.
    """
    if not parquet_files(out / SHARDS):
        return
    decisions = _recorded(out)
    places = {clip.id: place for place, clip in enumerate(clips)}
    # Further faces have no identity, but their frames show the clip's person, so the clip's identity decides for them.
    reassignable = set(drawn) - {clip.id for clip in clips if clip.identity is not None}
    existing, new = [], []
    for values in read_folder(out / SHARDS, _COLUMNS).to_pylist():
        clip_id = values["clip_id"]
        row = Row(**values, reassignable=clip_of(clip_id) in reassignable)
        if clip_id not in decisions:
            new.append(row)
        elif not decisions[clip_id].dropped:  # otherwise an interrupted run has yet to delete it
            existing.append(row)
    if new:
        new.sort(key=lambda row: (places.get(clip_of(row.clip_id), -1), row.clip_id))
        decisions |= {decision.clip_id: decision for decision in decide(existing, new, drop=drop)}
        table = pa.Table.from_pylist([asdict(decision) for decision in decisions.values()], schema=RECORD_SCHEMA)
        write_whole(table, out / RECORD)
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(partial(_apply, decisions, out), parquet_files(out / SHARDS)))


def _recorded(out: UPath) -> dict[str, Decision]:
    if not (out / RECORD).exists():
        return {}
    return {row["clip_id"]: Decision(**row) for row in read_table(out / RECORD, RECORD_SCHEMA.names).to_pylist()}


def _apply(decisions: dict[str, Decision], out: UPath, shard: UPath) -> None:
    """Apply the decisions to one shard; rejects are written first, so that an interruption loses no row."""
    rows = read_table(shard, ["clip_id", "split"]).to_pylist()
    dropped = [decisions[row["clip_id"]].dropped for row in rows]
    splits = [decisions[row["clip_id"]].split for row in rows]
    if not any(dropped) and splits == [row["split"] for row in rows]:
        return
    table = read_table(shard, SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
    table = table.set_column(table.column_names.index("split"), SHARD_SCHEMA.field("split"), pa.array(splits))
    lost = table.filter(pa.array(dropped))
    if len(lost):
        reasons = [_reason(decisions[clip_id]) for clip_id in lost["clip_id"].to_pylist()]
        for name, values in (("stage", ["duplicate"] * len(lost)), ("reason", reasons)):
            lost = lost.append_column(name, pa.array(values))
        rejects = lost.select(REJECT_SCHEMA.names).cast(REJECT_SCHEMA)
        write_whole(rejects, out / REJECTS / name_for(rejects["clip_id"].to_pylist()))
    kept = table.filter(pc.invert(pa.array(dropped)))
    if len(kept):
        write_whole(kept, shard)
    else:
        shard.unlink()


def _reason(decision: Decision) -> str:
    return (
        f"near-duplicate of '{decision.duplicate_of}': {decision.distance} of {HASH_BITS} bits of the hash differ, "
        f"copies differ in {DUPLICATE_DISTANCE} at most"
    )


def _words(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """(N, W) uint64 from N hexadecimal hashes."""
    data = b"".join(bytes.fromhex(text) for text in hashes)
    return np.frombuffer(data, np.uint64).reshape(len(hashes), HASH_BITS // 64)


def _distances(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """(N, M) differing bits of (N, W) and (M, W) words."""
    total = np.zeros((len(some), len(others)), np.uint16)
    for word in range(some.shape[1]):  # in a loop: broadcasting over W would need W times the memory
        total += np.bitwise_count(some[:, None, word] ^ others[None, :, word])
    return total
