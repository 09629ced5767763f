"""Parquet files that are either whole or absent, and which clips they already hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from favchat.config import ConfigError


def write_whole(table: pa.Table, path: Path) -> None:
    """Write a Parquet file under a hidden name, then rename it: whoever is killed midway leaves nothing that counts.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, hidden, compression="zstd")
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def name_for(clip_ids: list[str]) -> str:
    """A file name that depends on the clips alone: a task run twice overwrites its own file and doubles no row."""
    return f"{hashlib.sha256('/'.join(clip_ids).encode()).hexdigest()[:16]}.parquet"


def read_folder(folder: Path, columns: list[str]) -> pa.Table:
    """Some columns of all Parquet files of a folder, ordered by file name; hidden files are passed over.

    Raises:
        ConfigError: There is no file, one cannot be read, or a column is missing.
    """
    files = parquet_files(folder)
    if not files:
        raise ConfigError(f"data.out: no Parquet file in {folder}; run `favchat prepare` first")
    tables = []
    for file in files:
        try:
            tables.append(pq.read_table(file, columns=columns, partitioning=None).select(columns))
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise ConfigError(
                f"data.out: {file} is no Parquet file with the columns {', '.join(columns)}: {error}"
            ) from error
    return pa.concat_tables(tables)


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of a folder in order of their names, without hidden ones; empty where there is no folder."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
