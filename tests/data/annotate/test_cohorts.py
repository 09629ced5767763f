"""Annotations of a corpus that is too large for one process."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import Config
from favchat.data.annotate import pipeline
from favchat.data.annotate.counts import AnnotationCounts, count_rows
from favchat.data.annotate.pipeline import AnnotateResult, annotate
from favchat.data.annotate.report import write_annotation_report
from favchat.data.annotate.rows import Annotation, Writer, Written, table_of
from favchat.data.corpus.buckets import buckets_of
from favchat.data.corpus.clip import Clip
from tests.data.annotate.conftest import make_clip, write_shard

CLIPS = [
    make_clip(f"c{number:03}", ("happy", "sadness", "fear")[number % 3], smile=number % 2, nod=int(number % 4 == 0))
    for number in range(60)
]


def corpus(out: Path, clips: list[Clip], rows: int) -> Path:
    for start in range(0, len(clips), rows):
        write_shard(out, clips[start : start + rows], f"{start:03}")
    return out


def run(out: Path, writer: Writer | None = None, name: str = "template") -> AnnotateResult:
    config = Config()
    config.data.out, config.annotate.writer = str(out), name
    return annotate(config, writer)


def rows(result: AnnotateResult) -> list[dict[str, Any]]:
    found = pa.concat_tables([pq.read_table(file) for file in result.files]).to_pylist()
    return sorted(found, key=lambda row: (row["clip_id"], row["task"], row["question"], row["answer"]))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cohorts of a corpus of 60 clips."""
    monkeypatch.setattr(pipeline, "IN_DRIVER", 10)
    monkeypatch.setattr(pipeline, "COHORT", 20)


def test_a_single_cohort_in_a_task_is_what_this_process_writes(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = run(corpus(tmp_path / "here", CLIPS, 16), name="everyday")
    monkeypatch.setattr(pipeline, "IN_DRIVER", 10)
    there = run(corpus(tmp_path / "there", CLIPS, 16), name="everyday")
    assert pq.read_table(here.path).equals(pq.read_table(there.path))
    assert here.counts.tasks == there.counts.tasks and here.counts.samples == there.counts.samples


@pytest.mark.usefixtures("small")
def test_cohorts_do_not_depend_on_shards_and_are_counted_together(ray_session: None, tmp_path: Path) -> None:
    first = run(corpus(tmp_path / "a", CLIPS, 7))
    second = run(corpus(tmp_path / "b", CLIPS[::-1], 20))
    assert [file.name for file in first.files] == [f"template-{number:05d}.parquet" for number in range(3)]
    assert rows(first) == rows(second) and len(rows(first)) == first.summaries + first.questions
    assert (first.clips, first.unwritten, first.path) == (60, 0, tmp_path / "a" / "annotations")
    assert not (tmp_path / "a" / "annotating").exists()
    report = write_annotation_report(first, tmp_path / "a")
    assert report.metrics()["selected"] == sum(row["selected"] for row in rows(first))
    assert len(first.counts.samples) == 10


@pytest.mark.usefixtures("small")
def test_fewer_or_more_clips_later_leave_no_old_file(ray_session: None, tmp_path: Path) -> None:
    out = corpus(tmp_path, CLIPS, 10)
    run(out)
    for file in sorted((out / "shards").iterdir())[1:]:
        file.unlink()
    assert [file.name for file in run(out).files] == ["template.parquet"]
    assert [file.name for file in (out / "annotations").iterdir()] == ["template.parquet"]
    corpus(tmp_path, CLIPS, 10)
    run(out)
    assert len(list((out / "annotations").iterdir())) == 3


class Mortal(Writer):
    """Says which clips it writes about, and dies at one of them as long as a file is there."""

    name = "mortal"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, rows: pa.Table, survey: object) -> Written:
        ids = rows["clip_id"].to_pylist()
        if "c007" in ids and (self.folder / "deadly").exists():
            raise MemoryError("too much")
        (self.folder / f"{ids[0]}-{len(list(self.folder.iterdir()))}").write_text("\n".join(ids))
        texts = [Annotation(one, "train", "qa", "Who?", f"{one}.", "open", "several", source="mortal") for one in ids]
        return Written(table_of(texts))


@pytest.mark.usefixtures("small")
def test_a_run_that_died_goes_on_with_the_cohorts_that_are_left(ray_session: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (log / "deadly").touch()
    out = corpus(tmp_path / "out", CLIPS, 10)
    with pytest.raises(Exception, match="too much"):
        run(out, Mortal(log))
    assert not (out / "annotations").exists()
    (log / "deadly").unlink()
    result = run(out, Mortal(log))
    assert [row["clip_id"] for row in rows(result)] == [clip.id for clip in CLIPS]
    written = Counter(line for file in log.iterdir() for line in file.read_text().split())
    assert len(written) == 60
    numbers = dict(zip((clip.id for clip in CLIPS), buckets_of([clip.id for clip in CLIPS], 3), strict=True))
    assert written["c007"] == 1  # its cohort alone is certain to have been left
    assert all(written[one] == written[other] for one in numbers for other in numbers if numbers[one] == numbers[other])


def test_counts_add_up(tmp_path: Path) -> None:
    table = pq.read_table(run(corpus(tmp_path, CLIPS, 60)).path)
    whole, parts = count_rows(60, table, None, seed=0), AnnotationCounts()
    first = pa.compute.less(table["clip_id"], "c020")
    for some, clips in ((table.filter(first), 20), (table.filter(pa.compute.invert(first)), 40)):
        parts.add(count_rows(clips, some, None, seed=0))
    assert parts.samples == whole.samples and parts.tasks == whole.tasks and parts.clips == whole.clips
    assert parts.quantile("quality", 0.5) == whole.quantile("quality", 0.5)
    median = sorted(table["quality"].to_pylist())[len(table) // 2]
    assert whole.quantile("quality", 0.5) == pytest.approx(median, abs=0.002)
