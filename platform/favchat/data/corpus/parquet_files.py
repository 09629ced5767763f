"""Atomic writing of Parquet files, and reading of folders of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.schema import ADDED, ANNOTATIONS
from favchat.io.files import write_bytes_whole


def write_whole(table: pa.Table, path: UPath) -> None:
    """Write a Parquet file atomically; creates its folder.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = BytesIO()
    pq.write_table(table, data, compression="zstd")
    write_bytes_whole(path, data.getvalue())


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
            missing = ADDED.keys() & set(columns) - set(pq.read_schema(source).names)
            there = [name for name in columns if name not in missing]
            table = pq.read_table(source, columns=there, partitioning=None, **options)
            for name in missing:
                table = table.append_column(name, pa.nulls(len(table), ADDED[name]))
            return table.select(columns)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise ConfigError(
            f"data.out: {file} is no Parquet file with the columns {', '.join(columns)}: {error}"
        ) from error


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
