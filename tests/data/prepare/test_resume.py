"""Which clips a second run skips, and which changes of the source it refuses. No Ray here."""

from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from favchat.config import Config, ConfigError
from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.row_settings import check_settings
from favchat.data.corpus.schema import REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.prepare.clip_plan import ClipList
from favchat.data.prepare.listed import listed_table
from favchat.data.prepare.pipeline import prepare
from favchat.data.prepare.resume import find_missing

EMPTY = {"string": "", "double": 0.0, "float": 0.0, "int32": 0, "bool": False}
BLANK = {field.name: EMPTY.get(str(field.type), []) for field in SHARD_SCHEMA if not field.nullable} | {"tracks": 1}
SEGMENTS = [EmotionSegment("neutral", 0.0, 1.2), EmotionSegment("happy", 1.2, 3.0)]
ONE = Clip("one", "/one.mp4", 0.5, 3.1, "Ann", "val", (1.0, 2.0, 3.0, 4.5), emotion_segments=SEGMENTS)
OTHER = Clip("other", "/other.mp4", split="train")
LOST = Clip("lost", "/lost.mp4", 1.0, 2.0, split="train")


def row(clip: Clip, source: str = "manifest") -> dict[str, Any]:
    values = asdict(clip)
    return {"clip_id": values.pop("id"), "source": source, **values}


def listed(*clips: Clip, source: str = "manifest", reassignable: Collection[str] = ()) -> ClipList:
    return ClipList(len(clips), [listed_table(clips, source, reassignable)])


def missing(out: Path, some: ClipList) -> list[str]:
    found = find_missing(out, some)
    assert not found.partial
    return [name for table in found.clips.each() for name in table["clip_id"].to_pylist()]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two clips in shards, each in one of its own, and one in the rejects."""
    for clip in (ONE, OTHER):
        table = pa.Table.from_pylist([{**BLANK, **row(clip), "duplicate_hash": "0" * 96}], schema=SHARD_SCHEMA)
        write_whole(table, tmp_path / SHARDS / f"{clip.id}.parquet")
    reject = {**row(LOST), "tracks": 1, "stage": "open", "reason": "file not found"}
    write_whole(pa.Table.from_pylist([reject], schema=REJECT_SCHEMA), tmp_path / REJECTS / "1.parquet")
    return tmp_path


def test_what_lies_there_is_done_in_whatever_order_the_source_lists_it(corpus: Path) -> None:
    new = Clip("new", "/new.mp4", split="train")
    assert missing(corpus, listed(LOST, new, OTHER, ONE)) == ["new"]
    assert missing(corpus, listed(OTHER)) == []
    assert missing(corpus / "elsewhere", listed(OTHER)) == ["other"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"start": 0.4}, "start of clip 'one' was 0.5 and is 0.4 now"),
        ({"end": None}, "end of clip 'one' was 3.1 and is None now"),
        ({"identity": "Bo"}, "identity of clip 'one' was 'Ann' and is 'Bo' now"),
        ({"split": "train"}, "split of clip 'one' was 'val' and is 'train' now"),
        ({"box": (1.0, 2.0, 3.0, 5.0)}, r"box of clip 'one' was \[1.0, 2.0, 3.0, 4.5\] and is"),
        ({"appearance": [None] * 39 + [1]}, "label wearing_mask of clip 'one' was None and is 1 now"),
        ({"emotion_segments": SEGMENTS[:1]}, "emotion_segments of clip 'one' was"),
        ({"video": "/two.mp4"}, "a clip 'one' made from /one.mp4, and this source has one of that id at /two.mp4"),
    ],
)
def test_a_clip_that_the_source_tells_otherwise_of_is_refused(corpus: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"{says}.*choose another data.out"):
        find_missing(corpus, listed(replace(ONE, **change), OTHER, LOST))


def test_a_reject_of_another_part_is_refused_too(corpus: Path) -> None:
    with pytest.raises(ConfigError, match="end of clip 'lost' was 2.0 and is 3.0 now; delete the files in rejects/"):
        find_missing(corpus, listed(replace(LOST, end=3.0)))


def test_another_kind_of_source_is_refused_and_the_clips_are_counted(corpus: Path) -> None:
    with pytest.raises(ConfigError, match="source of clip 'one' was 'manifest' and is 'folder' now, and 1 more clips"):
        find_missing(corpus, listed(ONE, OTHER, source="folder"))


def test_a_split_that_rows_share_may_differ(corpus: Path) -> None:
    assert missing(corpus, listed(replace(ONE, split="train"), reassignable={"one"})) == []


def test_a_manifest_with_a_corrected_label_is_not_passed_over(tmp_path: Path) -> None:
    """As a user meets it: the same command again, after the table was edited."""
    (tmp_path / "a.mp4").touch()
    manifest, out = tmp_path / "clips.csv", tmp_path / "out"
    config = Config()
    config.data.source.kind, config.data.source.path, config.data.out = "manifest", str(manifest), str(out)
    check_settings(config, out)
    clip = Clip("a", str(tmp_path / "a.mp4"), identity="Ann", split="train")
    table = pa.Table.from_pylist([{**BLANK, **row(clip), "duplicate_hash": "0" * 96}], schema=SHARD_SCHEMA)
    write_whole(table, out / SHARDS / "a.parquet")
    manifest.write_text("video,identity\na.mp4,Ann\n")
    result = prepare(config)
    assert (result.clips, result.in_shards, result.skipped) == (1, 1, 1)
    manifest.write_text("video,identity,smile\na.mp4,Ann,yes\n")
    with pytest.raises(ConfigError, match="label smile of clip 'a' was None and is 1 now"):
        prepare(config)
