"""The ledger: what a corpus holds, a row a clip without pixels, so that nobody opens shards to learn it.

``ledger/`` holds small Parquet files, the parts. Whoever writes a file of shards or rejects writes its part right after
it; `compact_ledger` puts many parts into one. The footer of a part names the files that it describes with their
sizes, so listing folders tells which rows are current: those of files that are there in that size, in the newest part
that speaks of them. Files without a current part, of a killed process or of a corpus from before there were ledgers,
are read once and described.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.clip import clip_of
from favchat.data.corpus.parquet_files import (
    arrow_source,
    name_for,
    parquet_files,
    read_row_group,
    sized_files,
    write_whole,
)
from favchat.data.corpus.schema import LEDGER, LEDGER_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS

_LOG = logging.getLogger(__name__)
_FILES = b"favchat.files"
_BEING_WRITTEN = -1
_THREADS = 8
_ATTEMPTS = 3
_ROWS_AT_ONCE = 50_000
LOOSE_PARTS = 64
"""So many parts of single files may lie there before `compact_ledger` has something to do."""


class Described(NamedTuple):
    """What the footer of a part says of a file."""

    size: int
    """Its bytes."""
    written: int
    """When the part was made, in nanoseconds."""
    rows: int


@dataclass(frozen=True)
class Part:
    """A part with current rows."""

    path: UPath
    rows: Mapping[str, int]
    """The files whose rows are current, as ``shards/NAME.parquet`` -> how many rows each has."""
    whole: bool
    """Whether all of its rows are."""

    def read(self, columns: Sequence[str], kept: bool | None = None) -> pa.Table:
        """Its current rows.

        Args:
            columns: Columns of ``LEDGER_SCHEMA``.
            kept: Whether only rows of shards are wanted, or only rejects; None: both.

        Raises:
            ConfigError: It cannot be read.
            FileNotFoundError: It was put together with others since it was listed.
        """
        wanted = list(dict.fromkeys([*columns, *([] if self.whole else ["file"])]))
        where = None if kept is None else pc.field("stage").is_null() == kept
        try:
            with arrow_source(self.path) as source:
                table = pq.read_table(source, columns=wanted, partitioning=None, filters=where)
        except FileNotFoundError:
            raise
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise ConfigError(f"data.out: {self.path} is no part of a ledger ({error}); delete it") from error
        if not self.whole:
            table = table.filter(pc.is_in(table["file"], pa.array(sorted(self.rows), pa.string())))
        return table.select(list(columns)).replace_schema_metadata(None)


def read_ledger(out: UPath, columns: Sequence[str], *, kept: bool | None = None) -> pa.Table:
    """Columns of the current rows of a corpus, in no particular order.

    Args:
        out: The corpus (``data.out``).
        columns: Columns of ``LEDGER_SCHEMA``.
        kept: As for `Part.read`.

    Raises:
        ConfigError: A file cannot be read.
    """
    schema = pa.schema([LEDGER_SCHEMA.field(name) for name in columns])
    for attempt in range(_ATTEMPTS):
        try:
            read = [part.read(columns, kept).cast(schema) for part in ledger_parts(out)]
            break
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
    return pa.concat_tables([schema.empty_table(), *read])


def shard_rows(out: UPath, columns: Sequence[str]) -> pa.Table:
    """Columns of the rows of the shards, ordered by clip id.

    Raises:
        ConfigError: There are no shards, or a file cannot be read.
    """
    if not parquet_files(out / SHARDS):
        raise ConfigError(f"data.out: no Parquet file in {out / SHARDS}; run `favchat prepare` first")
    return read_ledger(out, list(dict.fromkeys([*columns, "clip_id"])), kept=True).sort_by("clip_id").select(columns)


def ledger_parts(out: UPath) -> list[Part]:
    """The parts with current rows; files that no part describes are read and described first.

    Raises:
        ConfigError: A file cannot be read.
    """
    there = _data_files(out)
    newest: dict[str, tuple[Described, UPath]] = {}
    said: dict[UPath, set[str]] = {}
    for path, files in _footers(parquet_files(out / LEDGER)):
        said[path] = set(files)
        for name, described in files.items():
            if name not in newest or described.written > newest[name][0].written:
                newest[name] = described, path
    current: dict[UPath, set[str]] = {}
    for name, size in there.items():
        if name in newest and newest[name][0].size == size:
            current.setdefault(newest[name][1], set()).add(name)
    unknown = sorted(there.keys() - set().union(*current.values()))
    parts = [
        Part(path, {name: newest[name][0].rows for name in files}, files == said[path])
        for path, files in current.items()
    ]
    return parts + (_describe(out, unknown, there) if unknown else [])


def write_rows(table: pa.Table, out: UPath, folder: str, tracks: Mapping[str, int] | None = None) -> UPath:
    """Write rows as a new file of shards or rejects, and their part of the ledger.

    Args:
        table: Rows with the columns of ``SHARD_SCHEMA`` or ``REJECT_SCHEMA``.
        out: The corpus (``data.out``).
        folder: ``SHARDS`` or ``REJECTS``.
        tracks: Of rejects the number of the face by the row's id, where it is a further one.

    Returns:
        The file, which is named by its clips.

    Raises:
        OSError: The output cannot be written.
    """
    file = out / folder / name_for(table["clip_id"].to_pylist())
    _write_file(table, out, file, tracks)
    return file


def rewrite_rows(table: pa.Table, out: UPath, file: UPath) -> None:
    """Write a file of shards or rejects anew, or delete it if no row is left.

    The ledger first forgets the file: a new one might have the old one's size, and a process may be killed in between.

    Raises:
        OSError: The output cannot be written.
    """
    name = f"{file.parent.name}/{file.name}"
    if file.exists():
        _write_part(LEDGER_SCHEMA.empty_table(), out, {name: Described(_BEING_WRITTEN, time.time_ns(), 0)})
    if len(table):
        _write_file(table, out, file)
    else:
        file.unlink(missing_ok=True)


def compact_ledger(out: UPath) -> None:
    """Put the parts of single files together, if there are many; others may read meanwhile.

    Raises:
        ConfigError: A file cannot be read.
        OSError: The output cannot be written.
    """
    ledger_parts(out)  # files that no part describes yet get one
    there = _data_files(out)
    loose = [(path, files) for path, files in _footers(parquet_files(out / LEDGER)) if len(files) == 1]
    if len(loose) <= LOOSE_PARTS:
        return
    tables: list[pa.Table] = []
    described: dict[str, Described] = {}
    done: list[UPath] = []

    def flush() -> None:
        if described:
            _write_part(pa.concat_tables(tables), out, described)
        for path in done:
            path.unlink(missing_ok=True)
        tables.clear()
        described.clear()
        done.clear()

    for path, files in loose:
        for name, one in files.items():
            if there.get(name) == one.size:
                tables.append(Part(path, {name: one.rows}, True).read(LEDGER_SCHEMA.names).cast(LEDGER_SCHEMA))
                described[name] = one
        done.append(path)
        if sum(map(len, tables)) >= _ROWS_AT_ONCE:
            flush()
    flush()


def _data_files(out: UPath) -> dict[str, int]:
    """Name -> bytes of the files of shards and rejects."""
    return {f"{folder}/{name}": size for folder in (SHARDS, REJECTS) for name, size in sized_files(out / folder)}


def _footers(paths: Sequence[UPath]) -> Iterator[tuple[UPath, dict[str, Described]]]:
    """What each part describes; parts that cannot be read are passed over, as if they were not there."""
    with ThreadPoolExecutor(_THREADS) as threads:
        yield from ((path, files) for path, files in zip(paths, threads.map(_footer, paths), strict=True) if files)


def _footer(path: UPath) -> dict[str, Described]:
    try:
        with arrow_source(path) as source:
            files = (pq.read_metadata(source).metadata or {}).get(_FILES, b"{}")
        return {name: Described(*values) for name, values in json.loads(files).items()}
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        _LOG.warning("%s is no part of a ledger and is passed over: %s", path, error)
        return {}


def _write_file(table: pa.Table, out: UPath, file: UPath, tracks: Mapping[str, int] | None = None) -> None:
    data = write_whole(table, file)
    rows = _rows(table, f"{file.parent.name}/{file.name}", data.groups, tracks or {})
    _write_part(rows, out, {f"{file.parent.name}/{file.name}": Described(data.size, time.time_ns(), len(rows))})


def _write_part(rows: pa.Table, out: UPath, files: Mapping[str, Described]) -> UPath:
    one = len(files) == 1
    path = out / LEDGER / (next(iter(files)).replace("/", "-") if one else f"all-{name_for(sorted(files))}")
    write_whole(rows.replace_schema_metadata({_FILES: json.dumps(files).encode()}), path)
    return path


def _rows(table: pa.Table, file: str, groups: Sequence[int], tracks: Mapping[str, int]) -> pa.Table:
    """The ledger's rows of a file.

    Args:
        table: Its rows; columns that it lacks are null.
        file: Its name, with its folder.
        groups: Rows of each of its row groups.
        tracks: As for `write_rows`.
    """
    ids = table["clip_id"].to_pylist()
    if "track" in table.column_names:
        further = [bool(track) for track in table["track"].to_pylist()]
    else:  # of a row of the rejects only its id tells, where several faces were followed
        several = table["tracks"].to_pylist() if "tracks" in table.column_names else [1] * len(ids)
        further = [bool(tracks[one]) if one in tracks else count > 1 for one, count in zip(ids, several, strict=True)]
    own: dict[str, Any] = {
        "clip": [clip_of(one) if face else one for one, face in zip(ids, further, strict=True)],
        "file": [file] * len(ids),
        "row_group": [group for group, count in enumerate(groups) for _ in range(count)],
        "row": list(range(len(ids))),
    }
    arrays = []
    for field in LEDGER_SCHEMA:
        if field.name in own:
            arrays.append(pa.array(own[field.name], field.type))
        elif field.name in table.column_names:
            arrays.append(table[field.name].cast(field.type).combine_chunks())
        else:
            arrays.append(pa.nulls(len(ids), field.type))
    return pa.Table.from_arrays(arrays, schema=LEDGER_SCHEMA)


def describe_files(files: Iterable[UPath]) -> Iterator[pa.Table]:
    """The ledger's rows of some files of shards or rejects, read from the files themselves, one table each.

    Raises:
        ConfigError: One of them is no such file.
    """
    for file in files:
        try:
            with arrow_source(file) as source:
                parquet = pq.ParquetFile(source)
                names = parquet.schema_arrow.names
                if "clip_id" not in names:
                    raise KeyError("clip_id")
                table = parquet.read(columns=[name for name in names if name in LEDGER_SCHEMA.names])
                groups = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
            yield _rows(table, f"{file.parent.name}/{file.name}", groups, {})
        except (pa.ArrowException, KeyError, OSError) as error:
            raise ConfigError(f"data.out: {file} is no Parquet file with the columns of a corpus: {error}") from error


def _describe(out: UPath, names: Sequence[str], there: Mapping[str, int]) -> list[Part]:
    """Parts of files that none describes, made from the files themselves.

    Where the corpus cannot be written to, they are kept in memory.
    """
    line = (
        "%s: %d of %d files of shards and rejects are not in the ledger; they are read once, and it is made from them"
    )
    _LOG.warning(line, out, len(names), len(there))
    parts: list[Part] = []
    tables: list[pa.Table] = []
    described: dict[str, Described] = {}

    def flush() -> None:
        if described:
            rows, counts = pa.concat_tables(tables), {name: one.rows for name, one in described.items()}
            try:
                parts.append(Part(_write_part(rows, out, described), counts, True))
            except OSError as error:
                _LOG.warning("%s: its ledger cannot be written (%s); it is made again each time", out, error)
                parts.append(_Unwritten(out / LEDGER, counts, True, rows))
        tables.clear()
        described.clear()

    for name, rows in zip(names, describe_files(out / name for name in names), strict=True):
        tables.append(rows)
        described[name] = Described(there[name], time.time_ns(), len(rows))
        if sum(map(len, tables)) >= _ROWS_AT_ONCE:
            flush()
    flush()
    return parts


@dataclass(frozen=True)
class _Unwritten(Part):
    """A part of a corpus that cannot be written to."""

    table: pa.Table

    def read(self, columns: Sequence[str], kept: bool | None = None) -> pa.Table:
        table = self.table if kept is None else self.table.filter(pc.field("stage").is_null() == kept)
        return table.select(list(columns))


def read_media(out: UPath, clip_ids: pa.Array, columns: Sequence[str]) -> pa.Table:
    """Columns of some rows of the shards, of which only the row groups that hold them are read.

    Args:
        out: The corpus (``data.out``).
        clip_ids: Ids of rows; those that are not there are left out.
        columns: Columns of ``SHARD_SCHEMA``.

    Raises:
        ConfigError: There are no shards, or a file cannot be read.
    """
    there = shard_rows(out, ["clip_id", "file", "row_group"])
    there = there.filter(pc.is_in(there["clip_id"], pa.array(clip_ids, pa.string())))
    found = [SHARD_SCHEMA.empty_table().select(list(columns))]
    groups = there.group_by(["file", "row_group"]).aggregate([("clip_id", "list")])
    for place in groups.sort_by([("file", "ascending"), ("row_group", "ascending")]).to_pylist():
        table = read_row_group(out / place["file"], place["row_group"], columns)
        found.append(table.filter(pc.is_in(table["clip_id"], pa.array(place["clip_id_list"]))))
    return pa.concat_tables(found, promote_options="permissive")


def ledger_files(out: UPath, folder: str) -> dict[str, int]:
    """Name of each file of shards, or of rejects, that has current rows -> how many; read from footers alone.

    Args:
        out: The corpus (``data.out``).
        folder: ``SHARDS`` or ``REJECTS``.

    Raises:
        ConfigError: A file cannot be read.
    """
    counts: dict[str, int] = {}
    for part in ledger_parts(out):
        counts |= {name: rows for name, rows in part.rows.items() if name.startswith(f"{folder}/")}
    return counts
