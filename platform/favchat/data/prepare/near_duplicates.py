"""Near-duplicates among the clips of a corpus: which rows are dropped, and which must share a split.

Hashes are known only after decoding, so this runs afterwards, over the small columns of all shards. Decisions are first
written to one file and then applied shard by shard, so that an interrupted run resumes from them. They are final: clips
that are added later never change rows that are already in the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from upath import UPath

from favchat.data.corpus.ledger import ledger_files, read_ledger, rewrite_rows, write_rows
from favchat.data.corpus.parquet_files import read_row_group, read_table, row_group_count, write_whole
from favchat.data.corpus.schema import REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.prepare.clip_plan import ClipList
from favchat.data.prepare.near_hashes import Pairs, band_count, band_pairs, close_pairs, hash_words, joined
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
ROW_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("duplicate_hash", pa.string(), nullable=False),
        pa.field("reassignable", pa.bool_(), nullable=False),
    ]
)
"""What deduplication depends on of a shard's row; ``reassignable`` says whether the split may change: it was drawn, not
named by the source, and no identity decided it."""


IN_DRIVER = 100_000
"""Up to so many rows are compared in the process that asks for it; more are in tasks."""
_BANDS = 8  # of a task


def decide(existing: pa.Table, new: pa.Table, *, drop: bool, pairs: Pairs | None = None) -> pa.Table:
    """Decide on new rows by comparing each with all rows before it.

    A row is a near-duplicate of an earlier one if it comes from another video and at most ``DUPLICATE_DISTANCE`` bits
    of the hashes differ; of several the nearest counts. Rows of the same video are not compared, since listing two
    parts or two faces of a video is intentional.

    A reassignable row takes the split of an earlier row of the same video, else of its near-duplicate, so that
    neither videos nor near-duplicates are divided between splits.

    Args:
        existing: Rows that earlier runs decided on, with the columns of ``ROW_SCHEMA``.
        new: Rows to decide on, in order of precedence.
        drop: Whether near-duplicates are dropped.
        pairs: The close pairs of all rows, existing ones first, where they are known already.

    Returns:
        One decision per new row, in their order, with the columns of ``RECORD_SCHEMA``.
    """
    rows = pa.concat_tables([existing, new]).combine_chunks()
    if not len(rows):
        return RECORD_SCHEMA.empty_table()
    first = len(existing)
    if pairs is None:
        pairs = close_pairs(hash_words(rows["duplicate_hash"].to_pylist()), first)
    later, earlier, bits = pairs
    begins = np.searchsorted(later, np.arange(len(rows) + 1))
    splits, free = rows["split"].to_pylist(), rows["reassignable"].to_pylist()
    video = pc.rank(rows["video"], tiebreaker="dense").to_numpy(zero_copy_only=False) - 1  # a number for each video
    first_of_video = np.full(int(video.max()) + 1, -1, np.int64)
    for index in range(first - 1, -1, -1):
        first_of_video[video[index]] = index
    kept = np.ones(len(rows), dtype=bool)
    nearest = np.full(len(rows), -1, np.int64)
    distance = np.zeros(len(rows), np.int32)
    for index in range(first, len(rows)):
        for pair in range(begins[index], begins[index + 1]):  # from the nearest on
            other = earlier[pair]
            if kept[other] and video[other] != video[index]:
                nearest[index], distance[index] = other, bits[pair]
                break
        sibling = first_of_video[video[index]]
        leader = nearest[index] if sibling < 0 else sibling
        if leader >= 0 and free[index]:
            splits[index] = splits[leader]
        kept[index] = nearest[index] < 0 or not drop
        if kept[index] and sibling < 0:
            first_of_video[video[index]] = index
    none = nearest[first:] < 0
    return pa.table(
        [
            new["clip_id"],
            rows["clip_id"].take(pa.array(nearest[first:], mask=none)),
            pa.array(distance[first:], mask=none),
            pa.array(~kept[first:]),
            pa.array(splits[first:], pa.string()),
        ],
        schema=RECORD_SCHEMA,
    )


def apply_dedup(out: UPath, listed: ClipList, *, drop: bool) -> None:
    """Decide on the rows of a corpus that no earlier run decided on, and apply the decisions.

    Dropped near-duplicates become rejects of the stage ``duplicate``.

    Args:
        out: The corpus (``data.out``).
        listed: The source's clips, with the columns ``clip_id``, ``place`` and ``reassignable`` of ``LISTED_SCHEMA``;
            of two new near-duplicates, the one of the earlier clip is kept.
        drop: As for ``decide``.

    Raises:
        OSError: The output cannot be written.
    """
    if needs_tasks(out):
        _apply_in_tasks(out, listed, drop)
        return
    rows = undecided(out, listed)
    for name, decisions in settle(out, rows, drop, close_pairs(rows.words, rows.first)):
        apply_decisions(decisions, out, name)


def needs_tasks(out: UPath) -> bool:
    """Whether a corpus has more rows than one process compares; Ray has to run then."""
    return sum(ledger_files(out, SHARDS).values()) > IN_DRIVER


@dataclass(frozen=True)
class Undecided:
    """The rows of a corpus in the order in which they are compared."""

    rows: pa.Table
    """With the columns of ``ROW_SCHEMA``."""
    words: NDArray[np.uint64]
    """Their hashes, see ``hash_words``."""
    first: int
    """Rows before were decided on by earlier runs."""


def undecided(out: UPath, clips: ClipList) -> Undecided:
    """The rows of the shards, those that were decided on first, then the others in the order of the list."""
    listed = pa.concat_tables([table.select(["clip_id", "place", "reassignable"]) for table in clips.each()])
    there = read_ledger(out, ["clip_id", "clip", "video", "split", "duplicate_hash"], kept=True)
    decisions = _recorded(out)
    before = pc.index_in(there["clip_id"], decisions["clip_id"].combine_chunks())
    # A row that was dropped and is still there is left of an interrupted run, and goes when decisions are applied.
    existing = _of_list(there.filter(pc.invert(pc.fill_null(decisions["dropped"].take(before), True))), listed)
    new = _of_list(there.filter(pc.is_null(before)), listed)
    new = new.sort_by([("place", "ascending"), ("clip_id", "ascending")])
    rows = pa.concat_tables([existing, new]).select(ROW_SCHEMA.names)
    return Undecided(rows, hash_words(rows["duplicate_hash"].to_pylist()), len(existing))


def settle(out: UPath, some: Undecided, drop: bool, pairs: Pairs) -> list[tuple[str, pa.Table]]:
    """Decide, record the decisions, and give those that are yet to be applied, by file."""
    decisions = _recorded(out)
    if some.first < len(some.rows):
        existing, new = some.rows.slice(0, some.first), some.rows.slice(some.first)
        decisions = pa.concat_tables([decisions, decide(existing, new, drop=drop, pairs=pairs)])
        write_whole(decisions, out / RECORD)
    there = read_ledger(out, ["clip_id", "split", "file"], kept=True)
    of_row = decisions.take(pc.index_in(there["clip_id"], decisions["clip_id"].combine_chunks()))
    changed = pc.or_(of_row["dropped"], pc.not_equal(of_row["split"], there["split"]))
    of_row = of_row.append_column("file", there["file"]).filter(changed)
    return [
        (name, of_row.filter(pc.equal(of_row["file"], name)).drop_columns(["file"]))
        for name in of_row["file"].unique().sort().to_pylist()
    ]


def _apply_in_tasks(out: UPath, listed: ClipList, drop: bool) -> None:
    """As `apply_dedup`, of a corpus whose rows the driver does not hold: bands are searched in tasks of their own."""
    import ray

    @ray.remote(num_cpus=1)
    def search(some: Undecided, bands: range) -> Pairs:
        return joined(band_pairs(some.words, some.first, band) for band in bands)

    @ray.remote(num_cpus=1)
    def settled(some: Undecided, *pairs: Pairs) -> list[tuple[str, Any]]:
        return [(name, ray.put(table)) for name, table in settle(out, some, drop, joined(pairs))]

    rows = ray.remote(num_cpus=1)(undecided).remote(out, listed)
    count = sum(ledger_files(out, SHARDS).values())
    bands = [range(start, min(start + _BANDS, band_count(count))) for start in range(0, band_count(count), _BANDS)]
    change = ray.remote(num_cpus=1)(apply_decisions)
    changes = ray.get(settled.remote(rows, *(search.remote(rows, some) for some in bands)))
    ray.get([change.remote(table, out, name) for name, table in changes])


def _recorded(out: UPath) -> pa.Table:
    if not (out / RECORD).exists():
        return RECORD_SCHEMA.empty_table()
    return read_table(out / RECORD, RECORD_SCHEMA.names).cast(RECORD_SCHEMA)


def _of_list(rows: pa.Table, listed: pa.Table) -> pa.Table:
    """Rows of the ledger with ``reassignable`` and ``place`` of their clips; others are fixed, and come first."""
    places = pc.index_in(rows["clip"], listed["clip_id"].combine_chunks())
    for name, unlisted in (("reassignable", False), ("place", -1)):
        rows = rows.append_column(name, pc.fill_null(listed[name].take(places), unlisted))
    return rows


def apply_decisions(decisions: pa.Table, out: UPath, name: str) -> None:
    """Apply decisions to one shard; rejects are written first, so that an interruption loses no row."""
    shard = out / name
    # One row group after the other: those of a large shard, and what is left of them, would not fit side by side.
    kept, lost = zip(
        *(
            _decided(read_row_group(shard, group, SHARD_SCHEMA.names).cast(SHARD_SCHEMA), decisions)
            for group in range(row_group_count(shard))
        ),
        strict=True,
    )
    rejects = pa.concat_tables(lost)
    if len(rejects):
        tracks = dict(zip(*(rejects[name].to_pylist() for name in ("clip_id", "track")), strict=True))
        write_rows(rejects.select(REJECT_SCHEMA.names).cast(REJECT_SCHEMA), out, REJECTS, tracks)
    rewrite_rows(pa.concat_tables(kept), out, shard)


def _decided(table: pa.Table, decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of a shard that stay, in their new splits, and those that go, with the reason."""
    of_row = decisions.take(pc.index_in(table["clip_id"], decisions["clip_id"].combine_chunks()))
    splits = pc.coalesce(of_row["split"], table["split"])
    table = table.set_column(table.column_names.index("split"), SHARD_SCHEMA.field("split"), splits)
    dropped = pc.fill_null(of_row["dropped"], False)
    lost, why = table.filter(dropped), of_row.filter(dropped).to_pylist()
    lost = lost.append_column("stage", pa.array(["duplicate"] * len(lost), pa.string()))
    lost = lost.append_column("reason", pa.array([_reason(one) for one in why], pa.string()))
    return table.filter(pc.invert(dropped)), lost


def _reason(decision: dict[str, object]) -> str:
    first, bits = decision["duplicate_of"], decision["distance"]
    return (
        f"near-duplicate of '{first}': {bits} of {HASH_BITS} bits of the hash differ, "
        f"copies differ in {DUPLICATE_DISTANCE} at most"
    )
