"""Resuming ``prepare``: which clips of a source are complete in a corpus, with unchanged labels and all of their rows.

The rows of a clip with several faces may be in several files. A run that is killed between writing two of them leaves
the clip incomplete; each row holds their number, so that this is noticed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.clip import clip_of
from favchat.data.corpus.parquet_files import parquet_files, read_folder, read_table, write_whole
from favchat.data.corpus.schema import CLIP_SCHEMA, REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.labels.attributes import ACTION, APPEARANCE

_ADVICE = {
    SHARDS: "choose another data.out, or delete that folder",
    REJECTS: f"delete the files in {REJECTS}/ to have rejected clips done again, or choose another data.out",
}
_FOLDERS = ((SHARDS, SHARD_SCHEMA), (REJECTS, REJECT_SCHEMA))
_LABELS = {"appearance": APPEARANCE, "action": ACTION}


def finished_clips(out: UPath, listed: pa.Table, reassignable: Collection[str]) -> set[str]:
    """The clips that earlier runs completed, as rows or rejects.

    They are skipped, so the source's values in their rows must still be current: otherwise another list, fold or kind
    of source, or corrected labels, would be silently ignored.

    Args:
        out: The corpus (``data.out``).
        listed: The source's clips, with the columns of ``CLIP_SCHEMA``.
        reassignable: Ids of the clips whose split may differ, because near-duplicates share one.

    Returns:
        Their ids.

    Raises:
        ConfigError: A clip's row has another video or other labels than the source.
    """
    for folder, schema in _FOLDERS:
        if parquet_files(out / folder):
            there = read_folder(out / folder, [name for name in schema.names if name in CLIP_SCHEMA.names])
            places = pc.index_in(there["clip_id"], listed["clip_id"].combine_chunks())
            there, now = there.filter(pc.is_valid(places)), listed.select(there.column_names).take(places.drop_null())
            _compare(there, now, reassignable, out, _ADVICE[folder])
    return complete_clips(out, set(listed["clip_id"].to_pylist()))


def complete_clips(out: UPath, clips: Collection[str]) -> set[str]:
    """The clips, of those with the given ids, whose rows are all in the corpus."""
    return _complete_and_partial(out, clips)[0]


def remove_partial(out: UPath, clips: Collection[str]) -> None:
    """Delete the rows of incomplete clips, so that they can be processed again.

    Args:
        out: The corpus (``data.out``).
        clips: Ids of clips.

    Raises:
        OSError: The output cannot be written.
    """
    partial = _complete_and_partial(out, clips)[1]
    if not partial:
        return
    for folder, schema in _FOLDERS:
        for file in parquet_files(out / folder):
            deleted = pc.is_in(read_table(file, ["clip_id"])["clip_id"], pa.array(sorted(partial)))
            if not pc.any(deleted).as_py():
                continue
            kept = read_table(file, schema.names).filter(pc.invert(deleted)).cast(schema)
            if len(kept):
                write_whole(kept, file)
            else:
                file.unlink()


def _complete_and_partial(out: UPath, clips: Collection[str]) -> tuple[set[str], set[str]]:
    """Ids of the complete clips, and ids of the rows of incomplete ones."""
    rows: defaultdict[str, dict[str, int]] = defaultdict(dict)  # a row that is being dropped may be in both folders
    for folder, _ in _FOLDERS:
        if parquet_files(out / folder):
            for row in read_folder(out / folder, ["clip_id", "tracks"]).to_pylist():
                row_id = row["clip_id"]
                rows[row_id if row_id in clips else clip_of(row_id)][row_id] = row["tracks"]
    there = {clip_id: found for clip_id, found in rows.items() if clip_id in clips}
    done = {clip_id for clip_id, found in there.items() if len(found) == max(found.values())}
    return done, {row_id for clip_id, found in there.items() if clip_id not in done for row_id in found}


def _compare(there: pa.Table, now: pa.Table, reassignable: Collection[str], out: UPath, advice: str) -> None:
    """Raise ConfigError where two tables of the same clips differ."""
    names = ["video", *(name for name in there.column_names if name not in ("clip_id", "video"))]
    for name in names:
        old, new = there[name], now[name].cast(there[name].type)
        if old.equals(new):
            continue
        different = [
            (clip_id, before, after)
            for clip_id, before, after in zip(*(c.to_pylist() for c in (there["clip_id"], old, new)), strict=True)
            if before != after and not (name == "split" and clip_id in reassignable)
        ]
        if different:
            raise ConfigError(f"data.out: {out} {_difference(name, different)}; {advice}")


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
