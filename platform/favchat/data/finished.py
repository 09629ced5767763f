"""Which clips of a source lie in a corpus already, and whether they lie there as the source tells of them now."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from favchat.attributes import ACTION, APPEARANCE
from favchat.config import ConfigError
from favchat.data.schema import CLIP_SCHEMA, REJECT_SCHEMA, REJECTS, SHARDS
from favchat.data.storage import parquet_files, read_folder

_ADVICE = "choose another data.out, or delete that folder"
_LABELS = {"appearance": APPEARANCE, "action": ACTION}


def finished(out: UPath, listed: pa.Table, movable: Collection[str]) -> set[str]:
    """The clips that earlier runs made rows or rejects of.

    Such a clip is not done again. So whatever its row took from the source must still be what the source says: another
    list, fold or kind of source, or corrected labels, would else be passed over without a word.

    Args:
        out: The corpus (``data.out``).
        listed: The source's clips, with the columns of ``CLIP_SCHEMA``.
        movable: Ids of the clips whose split may differ, because rows that are alike share one.

    Returns:
        Their ids.

    Raises:
        ConfigError: A clip lies there that the source tells otherwise of, or whose video is another one.
    """
    done: set[str] = set()
    for folder, columns in ((SHARDS, CLIP_SCHEMA.names), (REJECTS, REJECT_SCHEMA.names)):
        if not parquet_files(out / folder):
            continue
        there = read_folder(out / folder, [name for name in columns if name in CLIP_SCHEMA.names])
        places = pc.index_in(there["clip_id"], listed["clip_id"].combine_chunks())
        there, now = there.filter(pc.is_valid(places)), listed.select(there.column_names).take(places.drop_null())
        _compare(there, now, movable, out)
        done.update(there["clip_id"].to_pylist())
    return done


def _compare(there: pa.Table, now: pa.Table, movable: Collection[str], out: UPath) -> None:
    """Raise ConfigError where two tables of the same clips differ."""
    names = ["video", *(name for name in there.column_names if name not in ("clip_id", "video"))]
    for name in names:
        old, new = there[name], now[name].cast(there[name].type)
        if old.equals(new):
            continue
        different = [
            (clip_id, before, after)
            for clip_id, before, after in zip(*(c.to_pylist() for c in (there["clip_id"], old, new)), strict=True)
            if before != after and not (name == "split" and clip_id in movable)
        ]
        if different:
            raise ConfigError(_fault(name, different, out))


def _fault(name: str, different: list[tuple[str, Any, Any]], out: UPath) -> str:
    clip_id, before, after = different[0]
    if name == "video":
        return (
            f"data.out: {out} holds a clip '{clip_id}' made from {before}, and this source has one of that id at "
            f"{after}; choose another data.out"
        )
    if name in _LABELS:
        known, before, after = next(
            (attribute.name, one, other)
            for attribute, one, other in zip(_LABELS[name], before, after, strict=True)
            if one != other
        )
        name = f"label {known}"
    more = f", and {len(different) - 1:,} more clips differ likewise" if len(different) > 1 else ""
    return (
        f"data.out: {out} holds rows that this source tells otherwise of: {name} of clip '{clip_id}' was {before!r} "
        f"and is {after!r} now{more}; {_ADVICE}"
    )
