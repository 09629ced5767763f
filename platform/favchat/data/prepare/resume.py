"""Resuming ``prepare``: which clips of a source are complete in a corpus, with unchanged labels and all of their rows.

The rows of a clip with several faces may be in several files. A run that is killed between writing two of them leaves
the clip incomplete; each row holds their number, so that this is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.ledger import read_ledger, rewrite_rows
from favchat.data.corpus.parquet_files import parquet_files, read_table, write_whole
from favchat.data.corpus.schema import CLIP_SCHEMA, REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.prepare.clip_plan import PLANNING, ClipList, by_clip
from favchat.data.prepare.listed import LISTED_SCHEMA
from favchat.io.files import remove_tree
from favchat.labels.attributes import ACTION, APPEARANCE

_HELD = [*CLIP_SCHEMA.names, "clip", "tracks", "stage"]

_ADVICE = {
    SHARDS: "choose another data.out, or delete that folder",
    REJECTS: f"delete the files in {REJECTS}/ to have rejected clips done again, or choose another data.out",
}
_SCHEMAS = {SHARDS: SHARD_SCHEMA, REJECTS: REJECT_SCHEMA}
_LABELS = {"appearance": APPEARANCE, "action": ACTION}


@dataclass(frozen=True)
class Held:
    """What a corpus holds of some listed clips."""

    missing: pa.Table
    """The clips that are not complete, with all columns of the list."""
    partial: list[str]
    """Ids of the rows of incomplete clips, which have to go before their clips are processed."""
    difference: str | None = None
    """How a row differs from what the source tells, and what to do."""


@dataclass(frozen=True)
class Missing:
    """What is missing of a whole list."""

    clips: ClipList
    partial: list[str]
    """As `Held.partial`."""


def find_missing(out: UPath, listed: ClipList) -> Missing:
    """Compare a list with a corpus; Ray has to run where it is large.

    Complete clips are skipped, so the source's values in their rows must still be current: otherwise another list, fold
    or kind of source, or corrected labels, would be silently ignored.

    Args:
        out: The corpus (``data.out``).
        listed: Clips, with the columns of ``LISTED_SCHEMA``.

    Raises:
        ConfigError: A clip's row has another video or other labels than the source.
    """
    return _find(out, listed, _HELD, "missing", compare)


def unfinished(out: UPath, listed: ClipList) -> Missing:
    """As `find_missing`, without looking at what the rows say."""
    return _find(out, listed, ["clip_id", "clip", "tracks"], "unfinished", completeness)


def _find(
    out: UPath, listed: ClipList, columns: Sequence[str], name: str, compared: Callable[[pa.Table, pa.Table], Held]
) -> Missing:
    if not listed.large:
        held = compared(listed.table(), read_ledger(out, columns))
        if held.difference is not None:
            raise ConfigError(f"data.out: {out} {held.difference}")
        return Missing(ClipList(len(held.missing), [held.missing]), held.partial)
    folder = out / PLANNING / name
    remove_tree(folder)
    partial_rows: list[str] = []
    count, difference = 0, None
    work = partial(_keep_missing, compared, folder)
    for done in by_clip(listed, LISTED_SCHEMA.names, out, columns, work):
        for row in done.to_pylist():
            count += row["missing"]
            partial_rows += row["partial"]
            difference = difference or row["difference"]
    if difference is not None:
        raise ConfigError(f"data.out: {out} {difference}")
    return Missing(ClipList(count, files=parquet_files(folder)), partial_rows)


def _keep_missing(
    compared: Callable[[pa.Table, pa.Table], Held], folder: UPath, listed: pa.Table, held: pa.Table, number: int
) -> pa.Table:
    """Write the missing clips of a bucket; tell how many there are."""
    found = compared(listed, held)
    if len(found.missing):
        write_whole(found.missing.sort_by("place").cast(LISTED_SCHEMA), folder / f"{number:05d}.parquet")
    values = {"missing": [len(found.missing)], "partial": [found.partial], "difference": [found.difference]}
    return pa.table(values, schema=_FOUND)


_FOUND = pa.schema([("missing", pa.int64()), ("partial", pa.list_(pa.string())), ("difference", pa.string())])


def compare(listed: pa.Table, held: pa.Table) -> Held:
    """Which of some listed clips are not complete, and how rows differ from what their source tells.

    Args:
        listed: With the columns of ``LISTED_SCHEMA``.
        held: Rows of the ledger, at least all of these clips.
    """
    for folder, schema in _SCHEMAS.items():
        rows = held.filter(pc.field("stage").is_null() == (folder == SHARDS))
        rows = rows.select([name for name in schema.names if name in CLIP_SCHEMA.names])
        difference = difference_of(rows, listed)
        if difference is not None:
            return Held(listed, [], f"{difference}; {_ADVICE[folder]}")
    return completeness(listed, held)


def completeness(listed: pa.Table, held: pa.Table) -> Held:
    """Which of some listed clips are not complete.

    Args:
        listed: With the column ``clip_id``; all of its columns are returned.
        held: Rows of the ledger, at least all of these clips, with ``clip_id``, ``clip`` and ``tracks``.
    """
    held = held.filter(pc.is_in(held["clip"], listed["clip_id"].combine_chunks()))
    # A row that is being dropped may be in shards and rejects: ids count, not rows.
    state = held.group_by("clip").aggregate([("clip_id", "count_distinct"), ("tracks", "max")])
    whole = pc.equal(state["clip_id_count_distinct"], pc.cast(state["tracks_max"], pa.int64()))
    done = state["clip"].filter(whole).combine_chunks()
    rest = held.filter(pc.invert(pc.is_in(held["clip"], done)))
    missing = listed.filter(pc.invert(pc.is_in(listed["clip_id"], done)))
    return Held(missing, sorted(set(rest["clip_id"].to_pylist())))


def remove_partial(out: UPath, partial: Collection[str]) -> None:
    """Delete rows, so that their clips can be processed again.

    Args:
        out: The corpus (``data.out``).
        partial: Ids of rows.

    Raises:
        OSError: The output cannot be written.
    """
    if not partial:
        return
    ids = pa.array(sorted(partial), pa.string())
    places = read_ledger(out, ["clip_id", "file"])
    for name in sorted(set(places.filter(pc.is_in(places["clip_id"], ids))["file"].to_pylist())):
        schema = _SCHEMAS[name.partition("/")[0]]
        table = read_table(out / name, schema.names).cast(schema)
        rewrite_rows(table.filter(pc.invert(pc.is_in(table["clip_id"], ids))), out, out / name)


def difference_of(there: pa.Table, listed: pa.Table) -> str | None:
    """How rows differ from what their source tells; None: they do not.

    Args:
        there: Rows of shards, or of rejects, with the columns that these have of ``CLIP_SCHEMA``; those of other clips
            count for nothing.
        listed: With the columns of ``LISTED_SCHEMA``.
    """
    places = pc.index_in(there["clip_id"], listed["clip_id"].combine_chunks())
    there, now = there.filter(pc.is_valid(places)), listed.take(places.drop_null())
    names = ["video", *(name for name in there.column_names if name not in ("clip_id", "video"))]
    for name in names:
        old, new = there[name], now[name].cast(there[name].type)
        if old.equals(new):
            continue
        columns = (there["clip_id"], old, new, now["reassignable"])
        different = [
            (clip_id, before, after)
            for clip_id, before, after, free in zip(*(column.to_pylist() for column in columns), strict=True)
            if before != after and not (name == "split" and free) and not _unknown(before, after)
        ]
        if different:
            return _difference(name, different)
    return None


def _unknown(before: Any, after: Any) -> bool:
    """Whether neither says anything: corpora of 0.1 hold no list of ``extra`` labels, later ones a list of nulls."""
    return before is None and isinstance(after, list) and all(value is None for value in after)


def _difference(name: str, different: list[tuple[str, Any, Any]]) -> str:
    clip_id, before, after = different[0]
    if name == "video":
        return f"holds a clip '{clip_id}' made from {before}, and this source has one of that id at {after}"
    if name in _LABELS:
        known, before, after = next(
            (attribute.name, one, other)
            for attribute, one, other in zip(_LABELS[name], before, after, strict=True)
            if one != other
        )
        name = f"label {known}"
    more = f", and {len(different) - 1:,} more clips differ likewise" if len(different) > 1 else ""
    return (
        f"holds rows that differ from this source: {name} of clip '{clip_id}' was {before!r} and is {after!r} now{more}"
    )
