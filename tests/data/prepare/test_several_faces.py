"""Clips with several faces, whose rows lie in several files: killed anywhere, a job ends like an undisturbed one.

Ray and the decoder are left out: what is tested is what the job does with rows, before and after they are made.
"""

from contextlib import nullcontext
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import Config
from favchat.data.corpus import ledger
from favchat.data.corpus.clip import face_id
from favchat.data.corpus.parquet_files import WrittenFile
from favchat.data.corpus.schema import REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.prepare import pipeline
from favchat.data.prepare.clip_plan import ClipList
from favchat.data.prepare.clip_rows import OUTCOME_SCHEMA
from favchat.data.prepare.pipeline import prepare

EMPTY = {"string": "", "double": 0.0, "float": 0.0, "int32": 0, "bool": False}
BLANK = {field.name: EMPTY.get(str(field.type), []) for field in SHARD_SCHEMA if not field.nullable}
BATCH = 3
"""Rows that are written at once: an odd number, so that batches end between two faces of a clip."""


class Killed(BaseException):
    """The end of the process."""


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """Clips and faces that a filter drops, to be filled; every clip has two faces. The work is done in this process."""
    lost: set[tuple[str, int]] = set()

    def face(clip: dict[str, Any], track: int) -> dict[str, Any]:
        drops = (clip["clip_id"], track) in lost
        row = {**BLANK, **clip, "clip_id": face_id(clip["clip_id"], track), "track": track, "tracks": 2}
        row |= {"duplicate_hash": "0" * 96, "frames": [b"x"]}
        return row | {"stage": "filter" if drops else None, "reason": "too small" if drops else None}

    def run(clips: ClipList, settings: Any, out: Path, detector: Any, progress: Any, *, alone: bool = False) -> None:
        rows = [face(clip, track) for clip in clips.table().to_pylist() for track in (0, 1)]
        table = pa.Table.from_pylist(rows, schema=OUTCOME_SCHEMA)
        for start in range(0, len(table), BATCH):
            written = pipeline._write(table.slice(start, BATCH), out)
            assert written["error"].null_count == len(written)

    monkeypatch.setattr(pipeline, "_run", run)
    monkeypatch.setattr(pipeline, "clip_progress", lambda label, total: nullcontext())
    monkeypatch.setattr(pipeline.ray_cluster, "start", lambda config, **_: None)
    return lost


def config(tmp_path: Path, out: str) -> Config:
    videos = tmp_path / "videos"
    videos.mkdir(exist_ok=True)
    for name in "abc":
        (videos / f"{name}.mp4").touch()
    settings = Config()
    settings.data.source.path, settings.data.out = str(videos), str(tmp_path / out)
    settings.data.duplicates, settings.data.faces.max_tracks = "keep", 2
    return settings


def rows(out: Path) -> dict[str, list[dict[str, Any]]]:
    folders = [out / name for name in (SHARDS, REJECTS) if (out / name).exists()]
    return {folder.name: sorted(pq.read_table(folder).to_pylist(), key=itemgetter("clip_id")) for folder in folders}


SOME_LOST = {("a", 0), ("b", 1), ("c", 0), ("c", 1)}


@pytest.mark.parametrize("dropped", [set(), SOME_LOST], ids=["all kept", "some dropped"])
def test_killed_between_any_two_files(
    tmp_path: Path, lost: set[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, dropped: set[tuple[str, int]]
) -> None:
    lost |= dropped
    prepare(config(tmp_path, "undisturbed"))
    expected = rows(tmp_path / "undisturbed")
    assert sum(map(len, expected.values())) == 6 and len(expected.get(REJECTS, [])) == len(dropped)
    write, files = ledger.write_whole, len(list((tmp_path / "undisturbed").glob("*/*.parquet")))
    assert files >= 2
    for last in range(1, files):
        written: list[Path] = []

        def until_killed(table: pa.Table, path: Path, last: int = last, written: list[Path] = written) -> WrittenFile:
            if len(written) == last:
                raise Killed
            written.append(path)
            return write(table, path)

        monkeypatch.setattr(ledger, "write_whole", until_killed)
        with pytest.raises(Killed):
            prepare(config(tmp_path, f"out{last}"))
        monkeypatch.setattr(ledger, "write_whole", write)
        result = prepare(config(tmp_path, f"out{last}"))
        assert rows(tmp_path / f"out{last}") == expected, last
        assert result.clips == result.in_shards + result.rejected == 3


def test_deleted_rejects_are_done_again_and_no_face_twice(tmp_path: Path, lost: set[tuple[str, int]]) -> None:
    lost |= SOME_LOST
    out = tmp_path / "out"
    prepare(config(tmp_path, "out"))
    before = rows(out)
    for file in (out / REJECTS).iterdir():
        file.unlink()
    prepare(config(tmp_path, "out"))
    assert rows(out) == before
    assert prepare(config(tmp_path, "out")).skipped == 3
