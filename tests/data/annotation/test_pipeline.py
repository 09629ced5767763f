"""Annotations from the label columns of shards, without a frame being read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import Config, ConfigError
from favchat.data.annotate import annotate
from favchat.data.clips import Clip
from favchat.data.schema import ANNOTATION_SCHEMA, CLIP_SCHEMA
from favchat.data.storage import write_whole
from favchat.data.writer import Annotation


def shard(out: Path, name: str, clips: dict[str, Any]) -> None:
    """A shard of clip ids and emotions, without its media columns: nothing may ask for them."""
    rows = [
        {
            "clip_id": clip_id,
            "source": "celebv_hq",
            "video": f"/videos/{clip_id}.mp4",
            "start": 0.0,
            "split": "val" if clip_id.startswith("v") else "train",
            "appearance": [None] * 40,
            "action": [None] * 35,
            "emotion": emotion,
            "emotion_segments": [],
        }
        for clip_id, emotion in clips.items()
    ]
    write_whole(pa.Table.from_pylist(rows, schema=CLIP_SCHEMA), out / "shards" / f"{name}.parquet")


def settings(out: Path) -> Config:
    config = Config()
    config.data.out = str(out)
    return config


def test_rows_join_by_clip_id_and_keep_the_split(tmp_path: Path) -> None:
    shard(tmp_path, "1", {"b": "happy", "v": "fear"})
    shard(tmp_path, "2", {"a": None})
    result = annotate(settings(tmp_path))
    assert (result.clips, result.unlabelled, result.summaries > 0, result.questions > 0) == (3, 1, True, True)
    assert "annotated 2 of 3 clips" in result.summary()
    assert "nothing is known of the other 1" in result.summary()
    table = pq.read_table(result.path)
    assert table.schema.equals(ANNOTATION_SCHEMA)
    assert {(row["clip_id"], row["split"]) for row in table.to_pylist()} == {("b", "train"), ("v", "val")}
    assert len(table) == result.summaries + result.questions
    assert result.questions == sum(result.answer_types.values()) == sum(result.families.values())


def test_rows_do_not_depend_on_how_clips_are_spread_over_shards(tmp_path: Path) -> None:
    shard(tmp_path / "one", "1", {"a": "happy", "b": "sadness"})
    shard(tmp_path / "two", "1", {"b": "sadness"})
    shard(tmp_path / "two", "2", {"a": "happy"})
    first, second = (pq.read_table(annotate(settings(tmp_path / name)).path) for name in ("one", "two"))
    assert first.equals(second)


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    shard(tmp_path, "1", {"a": "happy"})
    first = annotate(settings(tmp_path))
    config = settings(tmp_path)
    config.annotate.questions_per_clip = 1
    second = annotate(config)
    assert (second.questions, second.path) == (1, first.path)
    assert [file.name for file in (tmp_path / "annotations").iterdir()] == ["template.parquet"]
    assert len(pq.read_table(tmp_path / "annotations")) == second.summaries + 1


def test_nothing_known_is_a_file_without_rows(tmp_path: Path) -> None:
    shard(tmp_path, "1", {"a": None})
    result = annotate(settings(tmp_path))
    assert (result.unlabelled, result.questions) == (1, 0)
    assert pq.read_table(result.path).schema.equals(ANNOTATION_SCHEMA)


def test_another_writer_can_be_given(tmp_path: Path) -> None:
    class Echo:
        def write(self, clip: Clip) -> list[Annotation]:
            return [Annotation(clip.id, clip.split, "qa", "Who?", clip.id, "open", "several", source="echo")]

    shard(tmp_path, "1", {"a": None})
    (row,) = pq.read_table(annotate(settings(tmp_path), Echo()).path).to_pylist()
    assert (row["answer"], row["source"]) == ("a", "echo")


def test_no_shards_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Parquet file in .*/shards; run `favchat prepare` first"):
        annotate(settings(tmp_path))
