"""Annotations of shards: which rows, how they are marked, and what a run says of itself."""

import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from favchat.config import Config, ConfigError, SelectionConfig, load
from favchat.data.annotate.pipeline import annotate
from favchat.data.annotate.report import write_annotation_report
from favchat.data.annotate.rows import Annotation, Writer, Written, table_of
from favchat.data.annotate.scored_rows import scored
from favchat.data.corpus.requirements import check_corpus
from favchat.data.corpus.schema import ANNOTATION_SCHEMA
from tests.data.annotate.conftest import SHARD_SCHEMA, clip_row, make_clip, write_shard


def settings(out: Path) -> Config:
    config = Config()
    config.data.out = str(out)
    return config


def test_rows_join_by_clip_id_and_keep_the_split(tmp_path: Path) -> None:
    write_shard(tmp_path, [make_clip("b", "happy"), make_clip("v", "fear", split="val")], "1")
    write_shard(tmp_path, [make_clip("a")], "2")
    result = annotate(settings(tmp_path))
    assert (result.clips, result.unwritten, result.rejected) == (3, 1, 0)
    assert "annotated 2 of 3 clips" in result.summary()
    assert "nothing is known of the other 1" in result.summary()
    table = pq.read_table(result.path)
    assert table.schema.equals(ANNOTATION_SCHEMA)
    assert {(row["clip_id"], row["split"]) for row in table.to_pylist()} == {("b", "train"), ("v", "val")}
    assert len(table) == result.summaries + result.questions
    assert not (tmp_path / "annotation_rejects").exists()


def test_a_corpus_without_labels_ends_well(tmp_path: Path) -> None:
    write_shard(tmp_path, [make_clip("a"), make_clip("b", split="val")])
    result = annotate(settings(tmp_path))
    assert result.nothing_known and (result.clips, result.unwritten) == (2, 2)
    assert result.summary().startswith(f"annotated none of 2 clips -> {result.path}\nNothing is known")
    assert "annotate.writer=endpoint" in result.summary() and "annotate.writer=model" in result.summary()
    table = pq.read_table(result.path)
    assert (len(table), table.schema) == (0, ANNOTATION_SCHEMA)
    report = write_annotation_report(result, UPath(tmp_path))
    assert report.metrics()["rows"] == 0 and report.page.is_file()
    # Labels that come later are spoken of, and those that go are spoken of no more.
    write_shard(tmp_path, [make_clip("c", "happy")], "2")
    assert not annotate(settings(tmp_path)).nothing_known
    (tmp_path / "shards" / "2.parquet").unlink()
    assert annotate(settings(tmp_path)).nothing_known
    with pytest.raises(ConfigError, match="its annotations hold no row. .*annotate.writer=model"):
        check_corpus(str(tmp_path), annotations=True)


def test_rows_do_not_depend_on_how_clips_are_spread_over_shards(tmp_path: Path) -> None:
    write_shard(tmp_path / "one", [make_clip("a", "happy"), make_clip("b", "sadness")])
    write_shard(tmp_path / "two", [make_clip("b", "sadness")], "1")
    write_shard(tmp_path / "two", [make_clip("a", "happy")], "2")
    first, second = (pq.read_table(annotate(settings(tmp_path / name)).path) for name in ("one", "two"))
    assert first.equals(second)


def test_an_emotion_outside_of_the_shot_that_the_frames_come_from_is_not_spoken_of(tmp_path: Path) -> None:
    course = [("neutral", 0.0, 1.2), ("happy", 1.2, 3.0)]
    write_shard(tmp_path / "cut", [make_clip("a", segments=course, smile=1)], shot=(1.2, 3.0))
    write_shard(tmp_path / "plain", [make_clip("a", "happy", smile=1)])
    write_shard(tmp_path / "whole", [make_clip("a", segments=course, smile=1)], shot=(1.1, 3.0))
    cut, plain, whole = (pq.read_table(annotate(settings(tmp_path / name)).path) for name in ("cut", "plain", "whole"))
    assert cut.equals(plain)
    assert not any("neutral at first" in answer for answer in cut["answer"].to_pylist())
    assert any("neutral at first, then happy from 1.2 seconds on" in answer for answer in whole["answer"].to_pylist())


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    write_shard(tmp_path, [make_clip("a", "happy")])
    first = annotate(settings(tmp_path))
    config = settings(tmp_path)
    config.annotate.questions_per_clip = 1
    second = annotate(config)
    assert (second.questions, second.path) == (1, first.path)
    assert first.changed == ()
    assert second.changed == ("annotate.questions_per_clip was 12 and is 1 now",)
    assert "rows made with other settings (annotate.questions_per_clip was 12 and is 1 now)" in second.summary()
    assert annotate(config).changed == ()
    assert [file.name for file in (tmp_path / "annotations").iterdir()] == ["template.parquet"]


def test_nothing_known_is_a_file_without_rows(tmp_path: Path) -> None:
    write_shard(tmp_path, [make_clip("a")])
    result = annotate(settings(tmp_path))
    assert (result.unwritten, result.questions) == (1, 0)
    assert pq.read_table(result.path).schema.equals(ANNOTATION_SCHEMA)


def test_another_writer_can_be_given(tmp_path: Path) -> None:
    class Echo(Writer):
        name = "echo"

        def write(self, rows: pa.Table, survey: object) -> Written:
            row = Annotation("a", "train", "qa", "Who?", "A person.", "open", "several", source=self.name)
            return Written(table_of([row]))

    write_shard(tmp_path, [make_clip("a")])
    annotate(settings(tmp_path))
    result = annotate(settings(tmp_path), Echo())
    (row,) = pq.read_table(result.path).to_pylist()
    assert (row["answer"], row["source"], row["consistency"]) == ("A person.", "echo", 0.5)
    assert sorted(file.name for file in (tmp_path / "annotations").iterdir()) == ["echo.parquet", "template.parquet"]


def test_no_shards_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Parquet file in .*/shards; run `favchat prepare` first"):
        annotate(settings(tmp_path))


def test_what_contradicts_is_named_and_never_selected() -> None:
    clips = [make_clip("a", "happy", smile=1, nod=0), make_clip("b", "happy", smile=0)]
    shards = pa.Table.from_pylist([clip_row(clip) for clip in clips], schema=SHARD_SCHEMA)
    texts = table_of(
        [
            Annotation("a", "train", "qa", "What is going on?", "They are smiling.", "open", "action", ["smile"]),
            Annotation("b", "train", "qa", "What happens here?", "They are smiling.", "open", "action", ["smile"]),
            Annotation("a", "train", "summary", "Describe it.", "They nod, looking sad.", "open", "several", ["nod"]),
            Annotation("a", "train", "qa", "What else?", "A quiet moment.", "open", "several"),
        ]
    )
    rows = scored(texts, shards, SelectionConfig(share=1)).to_pylist()
    assert [row["contradictions"] for row in rows] == [[], ["smile"], ["nod", "sadness"], []]
    assert [row["consistency"] for row in rows] == [1, 0, 0, 0.5]
    assert [row["selected"] for row in rows] == [True, False, False, False]
    for row in rows:
        parts = [row[name] for name in ("consistency", "specificity", "face_quality", "length", "rarity")]
        weights = (0.3, 0.2, 0.2, 0.1, 0.2)
        assert row["quality"] == pytest.approx(sum(a * b for a, b in zip(parts, weights, strict=True)), abs=1e-6)


def test_faces_that_are_seen_well_come_first(tmp_path: Path) -> None:
    for name, size in (("good", 200.0), ("poor", 20.0)):
        clips = [make_clip(f"{name}{number}", "happy", smile=number % 2, nod=0) for number in range(20)]
        write_shard(tmp_path, clips, name, face_size=size)
    config = settings(tmp_path)
    config.annotate.selection = SelectionConfig(share=0.3, max_copies=50)
    rows = pq.read_table(annotate(config).path).to_pylist()
    picked = Counter(row["clip_id"][:4] for row in rows if row["selected"] and row["task"] == "qa")
    assert picked["good"] > 2 * picked["poor"]


def test_settings_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("")
    for word, message in (
        ("annotate.endpoint.base_url=localhost:8000", "begins with http"),
        ("annotate.endpoint.base_url=http://me:secret@host/v1", "put no password into the address"),
        ("annotate.selection.share=1.5", "less than or equal to 1"),
        (
            "annotate.selection.weights={consistency: 0, specificity: 0, face_quality: 0, length: 0, rarity: 0}",
            "at least one weight",
        ),
        ("annotate.writer=human", "'template', 'everyday', 'endpoint' or 'model'"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(file, [word])


def test_a_missing_client_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(tmp_path, [make_clip("a", "happy")])
    monkeypatch.setitem(sys.modules, "openai", None)
    for name in ("endpoint", "requests"):
        monkeypatch.delitem(sys.modules, f"favchat.data.annotate.{name}", raising=False)
    config = settings(tmp_path)
    config.annotate.writer = "endpoint"
    with pytest.raises(ConfigError, match=r"install favchat\[annotate\]; openai is missing"):
        annotate(config)
