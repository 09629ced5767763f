"""The clips of a list as Arrow tables: a tenth of the memory of objects, and of a large list files."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.data.corpus.schema import CLIP_SCHEMA

ROWS = 10_000
"""Rows of a table."""
IN_MEMORY = 10
"""Tables that stay in memory; of a longer list all go to a temporary folder."""
_FIELDS = [field for field in CLIP_SCHEMA if field.name != "source"]


class ClipTable(Sequence[Clip]):
    """Clips in a fixed order, of which objects are made when they are asked for."""

    def __init__(self, tables: Sequence[pa.Table]):
        """Take tables with the columns of ``CLIP_SCHEMA`` except ``source``, and any others."""
        self.tables = tables
        self._starts = [0]
        for table in self.tables:
            self._starts.append(self._starts[-1] + len(table))

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[Clip]:
        for table in self.tables:
            for batch in table.to_batches(max_chunksize=1000):
                yield from map(clip_of_row, batch.to_pylist())

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        number = next(number for number, start in enumerate(self._starts[1:]) if place < start)
        return clip_of_row(self.tables[number].slice(place - self._starts[number], 1).to_pylist()[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Clip.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return f"ClipTable({list(self)!r})"


class TableFiles(Sequence[pa.Table]):
    """Tables in files of a temporary folder, of which each is mapped into memory as long as it is used."""

    def __init__(self) -> None:
        """Start empty."""
        folder = tempfile.mkdtemp(prefix="favchat-list-")
        weakref.finalize(self, shutil.rmtree, folder, True)
        self._folder, self._count = Path(folder), 0

    def append(self, table: pa.Table) -> None:
        """Write a table."""
        with pa.OSFile(self._file(self._count), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> pa.Table: ...
    @overload
    def __getitem__(self, index: slice) -> list[pa.Table]: ...
    def __getitem__(self, index: int | slice) -> pa.Table | list[pa.Table]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._count))]
        return pa.ipc.open_file(pa.memory_map(self._file(range(self._count)[index]))).read_all()

    def _file(self, number: int) -> str:
        return str(self._folder / f"{number}")


class TableWriter:
    """Collects rows as tables of `ROWS` rows, in memory or, if they are many, in files."""

    def __init__(self, schema: pa.Schema):
        """Start empty, with the columns of the rows."""
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] | TableFiles = []

    def add(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) == ROWS:
            self._flush()

    def add_table(self, table: pa.Table) -> None:
        """Add a table of rows."""
        self._flush()
        if len(table):
            self._keep(table)

    def tables(self) -> Sequence[pa.Table]:
        """All rows, in tables of at least one each; files go with the sequence."""
        self._flush()
        return self._tables

    def _flush(self) -> None:
        if self._rows:
            self._keep(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def _keep(self, table: pa.Table) -> None:
        if isinstance(self._tables, list) and len(self._tables) >= IN_MEMORY:
            files = TableFiles()
            for one in self._tables:
                files.append(one)
            self._tables = files
        self._tables.append(table)


def row_of_clip(clip: Clip) -> dict[str, Any]:
    """A clip as a row with the columns of ``CLIP_SCHEMA`` except ``source``."""
    segments = [{"emotion": one.emotion, "start": one.start, "end": one.end} for one in clip.emotion_segments]
    row = {
        field.name: getattr(clip, field.name) for field in _FIELDS if field.name not in ("clip_id", "emotion_segments")
    }
    return {"clip_id": clip.id, "emotion_segments": segments, **row}


def clip_of_row(row: dict[str, Any]) -> Clip:
    """The inverse of `row_of_clip`; other columns are not read."""
    values = {field.name: row[field.name] for field in _FIELDS if field.name != "clip_id"}
    values["emotion_segments"] = [EmotionSegment(**segment) for segment in values["emotion_segments"]]
    values["box"] = None if values["box"] is None else tuple(values["box"])
    return Clip(id=row["clip_id"], **values)


LIST_SCHEMA = pa.schema(_FIELDS)
"""The columns of `row_of_clip`."""
