"""A list that is too large for one process is planned as a short one is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from favchat.config import ConfigError
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.ledger import write_rows
from favchat.data.corpus.schema import REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.prepare import clip_plan
from favchat.data.prepare.clip_plan import ClipList
from favchat.data.prepare.listed import LISTED_SCHEMA, listed_table
from favchat.data.prepare.pipeline import _count
from favchat.data.prepare.resume import Missing, find_missing, unfinished

EMPTY = {"string": "", "double": 0.0, "float": 0.0, "int32": 0, "bool": False}
BLANK = {field.name: EMPTY.get(str(field.type), []) for field in SHARD_SCHEMA if not field.nullable}
CLIPS = [Clip(f"c{number:02}", f"/{number}.mp4", split="train") for number in range(20)]


def listed(clips: list[Clip], rows: int = 6) -> ClipList:
    table = listed_table(clips, "folder")
    return ClipList(len(clips), [table.slice(start, rows) for start in range(0, len(table), rows)])


def row(clip: dict[str, Any], track: int = 0, tracks: int = 1) -> dict[str, Any]:
    name = f"{clip['clip_id']}__face{track}" if track else clip["clip_id"]
    return {**BLANK, **clip, "clip_id": name, "track": track, "tracks": tracks, "duplicate_hash": "0" * 96}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Of twenty clips eight are whole, one of them a reject, and one has lost its second face."""
    clips = listed_table(CLIPS, "folder").to_pylist()
    some = [row(clip) for clip in clips[:7]] + [row(clips[8], tracks=2)]
    write_rows(pa.Table.from_pylist(some, schema=SHARD_SCHEMA), tmp_path, SHARDS)
    lost = {**clips[7], "tracks": 1, "stage": "open", "reason": "no"}
    write_rows(pa.Table.from_pylist([lost], schema=REJECT_SCHEMA), tmp_path, REJECTS)
    return tmp_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_plan, "IN_DRIVER", 5)
    monkeypatch.setattr(clip_plan, "BUCKET", 7)


def found(missing: Missing) -> tuple[list[str], list[str]]:
    tables = [table for table in missing.clips.each() if len(table)]
    assert all(table.schema.equals(LISTED_SCHEMA) for table in tables) and missing.clips.rows == sum(map(len, tables))
    return sorted(name for table in tables for name in table["clip_id"].to_pylist()), sorted(missing.partial)


@pytest.mark.usefixtures("small")
def test_tasks_find_what_one_process_finds(ray_session: None, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ([clip.id for clip in CLIPS[8:]], ["c08"])
    in_tasks = find_missing(corpus, listed(CLIPS))
    assert in_tasks.clips.files and found(in_tasks) == expected
    assert found(unfinished(corpus, in_tasks.clips)) == expected
    changed = [replace(CLIPS[3], video="/other.mp4"), *CLIPS[:3], *CLIPS[4:]]
    with pytest.raises(ConfigError, match="holds a clip 'c03' made from /3.mp4, and this source has .* at /other.mp4"):
        find_missing(corpus, listed(changed))
    monkeypatch.setattr(clip_plan, "IN_DRIVER", 100)
    assert found(find_missing(corpus, listed(CLIPS))) == expected


@pytest.mark.usefixtures("small")
def test_tasks_count_and_miss_nothing(ray_session: None, corpus: Path) -> None:
    result = _count(corpus, listed(CLIPS[:8]), [], skipped=0, notes={})
    assert (result.clips, result.in_shards, result.reasons) == (8, 7, {"open": 1})
    with pytest.raises(RuntimeError, match=r"11 clips are not exactly one row of shards and rejects: \['c09', 'c10'"):
        _count(corpus, listed(CLIPS[:8] + CLIPS[8:]), [], skipped=0, notes={})


@pytest.mark.usefixtures("small")
def test_nothing_is_held_of_a_new_corpus(ray_session: None, tmp_path: Path) -> None:
    assert found(find_missing(tmp_path, listed(CLIPS))) == ([clip.id for clip in CLIPS], [])
