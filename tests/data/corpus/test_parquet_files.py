"""Files are whole or absent."""

from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import ConfigError
from favchat.data.corpus.parquet_files import name_for, parquet_files, read_folder, write_whole


def test_a_write_that_fails_midway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(table: pa.Table, file: BinaryIO, **_: object) -> None:
        file.write(b"PAR1")
        raise OSError("No space left on device")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="No space left"):
        write_whole(pa.table({"x": [1]}), tmp_path / "shards" / "a.parquet")
    assert list((tmp_path / "shards").iterdir()) == []


def test_files_left_by_a_killed_process_do_not_count(tmp_path: Path) -> None:
    write_whole(pa.table({"x": [1]}), tmp_path / "a.parquet")
    (tmp_path / ".b.parquet.17.tmp").write_bytes(b"half")
    assert [path.name for path in parquet_files(tmp_path)] == ["a.parquet"]
    assert read_folder(tmp_path, ["x"])["x"].to_pylist() == [1]


def test_names_follow_from_the_clips() -> None:
    assert name_for(["a", "b"]) == name_for(["a", "b"])
    assert name_for(["a", "b"]) != name_for(["ab"])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(ConfigError, match="a.parquet is no Parquet file with the columns x"):
        read_folder(tmp_path, ["x"])
    write_whole(pa.table({"y": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="a.parquet is no Parquet file with the columns x"):
        read_folder(tmp_path, ["x"])
