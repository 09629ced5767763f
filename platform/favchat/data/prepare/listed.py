"""A source's clips as a corpus lists them: with their splits, and whether near-duplicates may change these."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from favchat.config import DataConfig
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import CLIP_SCHEMA
from favchat.data.corpus.splits import key_of, split_of
from favchat.data.listing.clip_table import LIST_SCHEMA, ClipTable, TableWriter, row_of_clip
from favchat.data.listing.entries import Listing
from favchat.data.prepare import clip_plan
from favchat.data.prepare.clip_plan import PLANNING, ClipList
from favchat.io.paths import path_of

LISTED_SCHEMA = pa.schema(
    [
        *CLIP_SCHEMA,
        pa.field("reassignable", pa.bool_(), nullable=False),
        pa.field("place", pa.int64(), nullable=False),
    ]
)
"""A clip as its source lists it: ``reassignable`` says whether near-duplicates may change its split, ``place`` where in
the list it stands."""


def listed_clips(listing: Listing, settings: DataConfig, seed: int) -> ClipList:
    """The clips of a listing with splits, table by table; of a long one in files below ``data.out``.

    A clip has the split that the source names, else that of its settings, else one that is drawn; of these the ones
    without an identity are reassignable. (Further faces have no identity, but their frames show the clip's person, so
    the clip's identity decides for them.)

    Args:
        listing: The source's clips.
        settings: The ``data`` section.
        seed: Draws the splits.
    """
    large = len(listing.clips) > clip_plan.IN_DRIVER
    tables, files, place = list[pa.Table](), list[UPath](), 0
    for table in _tables(listing.clips):
        split, drawn = table["split"], pc.equal(table["split"], "")
        if settings.source.split is not None:
            split, drawn = pc.if_else(drawn, settings.source.split, split), pa.array([False] * len(table))
        elif pc.any(drawn).as_py():
            keys = map(key_of, table["clip_id"].to_pylist(), table["identity"].to_pylist())
            draws = [split_of(key, settings.splits, seed) for key in keys]
            split = pc.if_else(drawn, pa.array(draws, pa.string()), split)
        columns = {name: table[name] for name in LIST_SCHEMA.names} | {
            "source": pa.array([settings.source.kind] * len(table)),
            "split": split,
            "reassignable": pc.and_(drawn, pc.is_null(table["identity"])),
            "place": pa.array(range(place, place + len(table))),
        }
        done = pa.table([columns[name] for name in LISTED_SCHEMA.names], schema=LISTED_SCHEMA)
        if large:
            files.append(path_of(settings.out or "") / PLANNING / "list" / f"{len(files):06d}.parquet")
            write_whole(done, files[-1])
        else:
            tables.append(done)
        place += len(table)
    return ClipList(place, files=files) if large else ClipList(place, tables or [LISTED_SCHEMA.empty_table()])


def _tables(clips: Iterable[Clip]) -> Iterable[pa.Table]:
    if isinstance(clips, ClipTable):
        return clips.tables
    written = TableWriter(LIST_SCHEMA)
    for clip in clips:
        written.add(row_of_clip(clip))
    return written.tables()


def listed_table(clips: Iterable[Clip], source: str, reassignable: Collection[str] = ()) -> pa.Table:
    """Clips that have their splits as a table with the columns of ``LISTED_SCHEMA``."""
    rows = [
        {**row_of_clip(clip), "source": source, "reassignable": clip.id in reassignable, "place": place}
        for place, clip in enumerate(clips)
    ]
    return pa.Table.from_pylist(rows, schema=LISTED_SCHEMA)
