"""Writes a source's bad entries as rows of the rejects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from favchat.config import SourceConfig
from favchat.data.corpus.ledger import rewrite_rows
from favchat.data.corpus.schema import REJECT_SCHEMA, REJECTS
from favchat.data.listing.entries import BadEntry
from favchat.data.listing.video_files import safe

STAGE = "source"
"""The stage of such a reject."""


def rejects_file(source: SourceConfig, out: UPath) -> UPath:
    """The rejects file with only the bad entries of one source.

    Every run rewrites it, since listing is cheap and entries may have been corrected.
    """
    place = f"{source.kind}\n{source.path}\n{source.annotations}\n{source.fold}"
    return out / REJECTS / f"{STAGE}-{hashlib.sha256(place.encode(errors='replace')).hexdigest()[:16]}.parquet"


def write_source_rejects(
    bad: Sequence[BadEntry], source: SourceConfig, out: UPath, taken: Iterable[pa.ChunkedArray]
) -> list[str]:
    """Write the bad entries of a source, replacing those of an earlier run.

    Args:
        bad: The entries; if empty, the file is deleted.
        source: The source.
        out: The corpus (``data.out``).
        taken: Ids of other rows of the corpus and of the source's clips, in any number of arrays.

    Returns:
        The ids of the rows: the entry's own as far as it is known, with a number appended if it is taken.

    Raises:
        OSError: The output cannot be written.
    """
    file = rejects_file(source, out)
    if not bad:
        rewrite_rows(REJECT_SCHEMA.empty_table(), out, file)
        return []
    ids: dict[str, BadEntry] = {}
    names = [safe(one.name) or "entry" for one in bad]
    wanted, others = pa.array(names, pa.string()), set()
    for ids_there in taken:
        stems = pc.replace_substring_regex(ids_there, r"__\d+$", "")
        others.update(ids_there.filter(pc.or_(pc.is_in(ids_there, wanted), pc.is_in(stems, wanted))).to_pylist())
    for one, name in zip(bad, names, strict=True):
        clip_id, count = name, 1
        while clip_id in ids or clip_id in others:
            count += 1
            clip_id = f"{name}__{count}"
        ids[clip_id] = one
    rows = [
        {
            "clip_id": clip_id,
            "source": source.kind,
            "video": _plain(one.video),
            "start": 0.0,
            "end": None,
            "tracks": 1,
            "stage": STAGE,
            "reason": _plain(one.reason),
        }
        for clip_id, one in ids.items()
    ]
    rewrite_rows(pa.Table.from_pylist(rows, schema=REJECT_SCHEMA), out, file)
    return list(ids)


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
