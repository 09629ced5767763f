"""The ledger says what lies in shards and rejects, whatever became of either."""

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import ConfigError
from favchat.data.corpus import ledger
from favchat.data.corpus.ledger import (
    compact_ledger,
    ledger_parts,
    read_ledger,
    read_media,
    rewrite_rows,
    shard_rows,
    write_rows,
)
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import LEDGER, REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS

EMPTY = {"string": "", "double": 0.0, "float": 0.0, "int32": 0, "bool": False}
BLANK = {field.name: EMPTY.get(str(field.type), []) for field in SHARD_SCHEMA if not field.nullable} | {"tracks": 1}


def clips(*ids: str, split: str = "train", **more: Any) -> pa.Table:
    rows = [{**BLANK, "clip_id": name, "split": split, "frames": [name.encode()], **more} for name in ids]
    return pa.Table.from_pylist(rows, schema=SHARD_SCHEMA)


def lost(*ids: str, stage: str = "open", tracks: int = 1) -> pa.Table:
    common = {"source": "folder", "video": "/v.mp4", "start": 0.0, "end": None, "tracks": tracks}
    return pa.Table.from_pylist(
        [{"clip_id": name, **common, "stage": stage, "reason": "no"} for name in ids], schema=REJECT_SCHEMA
    )


def held(out: Path) -> dict[str, tuple[str | None, str]]:
    rows = read_ledger(out, ["clip_id", "split", "stage"]).to_pylist()
    assert len({row["clip_id"] for row in rows}) == len(rows)
    return {row["clip_id"]: (row["split"], row["stage"]) for row in rows}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_rows(clips("a", "b"), tmp_path, SHARDS)
    write_rows(clips("c", split="val"), tmp_path, SHARDS)
    write_rows(lost("d"), tmp_path, REJECTS)
    return tmp_path


ALL = {"a": ("train", None), "b": ("train", None), "c": ("val", None), "d": (None, "open")}


def no_shard_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(files: Any) -> Any:
        raise AssertionError("a shard was opened")

    monkeypatch.setattr(ledger, "describe_files", read)


def test_what_is_written_is_in_the_ledger_and_no_shard_is_opened_for_it(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_shard_is_opened(monkeypatch)
    assert held(corpus) == ALL
    rows = shard_rows(corpus, ["clip_id", "file", "row_group", "row"]).to_pylist()
    for row in rows:
        there = pq.ParquetFile(corpus / row["file"]).read_row_group(row["row_group"], columns=["clip_id"])
        assert there["clip_id"].to_pylist()[row["row"]] == row["clip_id"]
    assert "frames" not in pq.read_schema(next((corpus / LEDGER).iterdir())).names


def test_a_corpus_without_a_ledger_gets_one_once_and_that_is_said(
    corpus: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (corpus / LEDGER).iterdir():
        file.unlink()
    with caplog.at_level(logging.WARNING):
        assert held(corpus) == ALL
    assert "3 of 3 files of shards and rejects are not in the ledger" in caplog.text
    caplog.clear()
    no_shard_is_opened(monkeypatch)
    assert held(corpus) == ALL and not caplog.text


def test_files_that_were_deleted_or_came_from_elsewhere_are_noticed(corpus: Path) -> None:
    for file in (corpus / REJECTS).iterdir():
        file.unlink()
    write_whole(clips("e"), corpus / SHARDS / "copied.parquet")
    assert held(corpus) == {name: ALL[name] for name in "abc"} | {"e": ("train", None)}


def test_a_file_that_was_written_anew_in_the_same_size_is_read_again_if_the_writer_died(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = next(file for file in (corpus / SHARDS).iterdir() if pq.read_metadata(file).num_rows == 1)
    size, part = file.stat().st_size, ledger._write_part

    def die_after_the_file(rows: pa.Table, out: Path, files: dict[str, Any]) -> Path:
        if len(rows):
            raise KeyboardInterrupt
        return part(rows, out, files)

    monkeypatch.setattr(ledger, "_write_part", die_after_the_file)
    with pytest.raises(KeyboardInterrupt):
        rewrite_rows(clips("c", split="xyz"), corpus, file)
    monkeypatch.undo()
    assert file.stat().st_size == size
    assert held(corpus)["c"] == ("xyz", None)


def test_a_file_without_a_row_left_goes(corpus: Path) -> None:
    for file in list((corpus / SHARDS).iterdir()):
        rewrite_rows(SHARD_SCHEMA.empty_table(), corpus, file)
    assert held(corpus) == {"d": ALL["d"]} and not list((corpus / SHARDS).iterdir())
    with pytest.raises(ConfigError, match="no Parquet file in .*shards; run `favchat prepare` first"):
        shard_rows(corpus, ["clip_id"])


def test_many_parts_become_one_and_what_changes_later_counts(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LOOSE_PARTS", 1)
    compact_ledger(corpus)
    assert len(list((corpus / LEDGER).iterdir())) == 1 and held(corpus) == ALL
    file = next(file for file in (corpus / SHARDS).iterdir() if pq.read_metadata(file).num_rows == 1)
    rewrite_rows(clips("c", split="test"), corpus, file)
    write_rows(clips("e"), corpus, SHARDS)
    changed = ALL | {"c": ("test", None), "e": ("train", None)}
    assert held(corpus) == changed
    compact_ledger(corpus)
    assert len(list((corpus / LEDGER).iterdir())) == 2 and held(corpus) == changed
    file.unlink()
    assert held(corpus) == {name: changed[name] for name in "abde"}


def test_the_clip_of_a_further_face_is_known_also_of_a_reject(tmp_path: Path) -> None:
    write_rows(clips("a", "b__face1", track=0), tmp_path, SHARDS)  # b__face1 is a name that a source gave
    write_rows(clips("a__face1", track=1), tmp_path, SHARDS)
    write_rows(lost("c__face1", "d__face1", tracks=2), tmp_path, REJECTS, {"c__face1": 1, "d__face1": 0})
    clip_of = {row["clip_id"]: row["clip"] for row in read_ledger(tmp_path, ["clip_id", "clip"]).to_pylist()}
    assert clip_of == {"a": "a", "b__face1": "b__face1", "a__face1": "a", "c__face1": "c", "d__face1": "d__face1"}


def test_media_of_some_clips_come_from_their_row_groups(corpus: Path) -> None:
    table = clips(*[f"many{number:03}" for number in range(200)])
    file = write_rows(table, corpus, SHARDS)
    assert pq.read_metadata(file).num_row_groups == 4
    found = read_media(corpus, pa.array(["many150", "a", "unknown"]), ["clip_id", "frames"]).to_pylist()
    assert sorted(row["clip_id"] for row in found) == ["a", "many150"]
    assert all(row["frames"] == [row["clip_id"].encode()] for row in found)


def test_a_corpus_that_cannot_be_written_to_is_read_all_the_same(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for file in (corpus / LEDGER).iterdir():
        file.unlink()

    def refuse(table: pa.Table, path: Path) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(ledger, "write_whole", refuse)
    assert held(corpus) == ALL
    assert "its ledger cannot be written (read-only)" in caplog.text


def test_a_part_that_is_damaged_is_passed_over(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in (corpus / LEDGER).iterdir():
        file.write_bytes(b"PAR1 and nonsense")
    assert held(corpus) == ALL and "is no part of a ledger and is passed over" in caplog.text
    assert ledger_parts(corpus)


def test_a_file_that_is_no_shard_is_named(corpus: Path) -> None:
    write_whole(pa.table({"x": [1]}), corpus / SHARDS / "other.parquet")
    with pytest.raises(ConfigError, match="other.parquet is no Parquet file with the columns of a corpus"):
        read_ledger(corpus, ["clip_id"])
