"""Atomic writing of Parquet files, and reading of folders of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.schema import ADDED, ANNOTATIONS
from favchat.io.files import written_whole

GROUP_ROWS = 64
"""Rows of a row group of media: whoever reads one clip of a large shard reads so many at most."""


class WrittenFile(NamedTuple):
    """What was written."""

    size: int
    """Bytes of the file."""
    groups: list[int]
    """Rows of each row group."""


def write_whole(table: pa.Table, path: UPath) -> WrittenFile:
    """Write a Parquet file atomically; creates its folder.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    group = GROUP_ROWS if "frames" in table.column_names else None
    with written_whole(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=group)
        size = file.tell()
        footer = pq.read_metadata(file)
    return WrittenFile(size, [footer.row_group(n).num_rows for n in range(footer.num_row_groups)])


def name_for(clip_ids: list[str]) -> str:
    """A file name that depends only on the clips, so that a repeated task overwrites its file and duplicates no row."""
    return f"{hashlib.sha256('/'.join(clip_ids).encode()).hexdigest()[:16]}.parquet"


def read_folder(folder: UPath, columns: list[str]) -> pa.Table:
    """Read columns of all Parquet files of a folder, ordered by file name; hidden files are skipped.

    Raises:
        ConfigError: There is no file, one cannot be read, or a column is missing.
    """
    files = parquet_files(folder)
    if not files:
        step = "annotate" if folder.name == ANNOTATIONS else "prepare"
        raise ConfigError(f"data.out: no Parquet file in {folder}; run `favchat {step}` first")
    return pa.concat_tables([read_table(file, columns) for file in files])


def read_table(file: UPath, columns: list[str], **options: Any) -> pa.Table:
    """Read columns of one Parquet file.

    Args:
        file: The file.
        columns: Their names.
        options: For ``pyarrow.parquet.read_table``, such as ``filters``.

    Raises:
        ConfigError: The file cannot be read, or a column is missing.
    """
    try:
        with arrow_source(file) as source:
            later = ADDED.keys() & set(columns)
            # With a filter a column that is not there is an error.
            missing = later - set(pq.read_schema(source).names) if later else later
            there = [name for name in columns if name not in missing]
            table = pq.read_table(source, columns=there, partitioning=None, **options)
            for name in missing:
                table = table.append_column(name, pa.nulls(len(table), ADDED[name]))
            return table.select(columns)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise ConfigError(
            f"data.out: {file} is no Parquet file with the columns {', '.join(columns)}: {error}"
        ) from error


def read_row_group(file: UPath, group: int, columns: Sequence[str]) -> pa.Table:
    """Read columns of one row group of a Parquet file; columns of `schema.ADDED` that it lacks are null.

    Raises:
        ConfigError: The file cannot be read, or a column is missing.
    """
    try:
        with arrow_source(file) as source:
            table = pq.ParquetFile(source).read_row_group(group, columns=list(columns))
        for name in ADDED.keys() & set(columns) - set(table.column_names):
            table = table.append_column(name, pa.nulls(len(table), ADDED[name]))
        return table.select(list(columns))
    except (pa.ArrowException, KeyError, OSError) as error:
        raise ConfigError(
            f"data.out: {file} is no Parquet file with the columns {', '.join(columns)}: {error}"
        ) from error


def row_group_count(file: UPath) -> int:
    """How many row groups a Parquet file has.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        with arrow_source(file) as source:
            return int(pq.read_metadata(source).num_row_groups)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"data.out: {file} is no Parquet file: {error}") from error


@contextmanager
def arrow_source(file: UPath) -> Iterator[Any]:
    """A Parquet file for pyarrow: the path of a local one (which it opens itself, faster), else an open file."""
    if isinstance(file, Path):
        yield str(file)
    else:
        with file.open("rb") as opened:
            yield opened


def arrow_place(path: UPath) -> tuple[str, Any]:
    """Path and file system of a file or folder for pyarrow and Ray Data; None: the local file system."""
    return (str(path), None) if isinstance(path, Path) else (path.path, path.fs)


def parquet_files(folder: UPath) -> list[UPath]:
    """The Parquet files of a folder, ordered by name, without hidden ones; empty if there is no folder."""
    if hasattr(folder, "fs"):
        folder.fs.invalidate_cache()  # other processes write to it too
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))


def sized_files(folder: UPath) -> list[tuple[str, int]]:
    """Name and bytes of the Parquet files of a folder, as `parquet_files` has them."""
    if isinstance(folder, Path):
        if not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat().st_size) for entry in entries if entry.name.endswith(".parquet")]
    else:
        folder.fs.invalidate_cache()
        listed = folder.fs.ls(folder.path, detail=True) if folder.exists() else []
        found = [(one["name"].rpartition("/")[2], int(one["size"] or 0)) for one in listed if one["type"] == "file"]
    return sorted((name, size) for name, size in found if name.endswith(".parquet") and not name.startswith("."))
