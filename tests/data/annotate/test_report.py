"""What a run says of its annotations, on the terminal and as a page."""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from rich.console import Console

import jobs.annotate
from favchat.config import Config
from favchat.data.annotate.pipeline import annotate
from favchat.data.annotate.report import write_annotation_report
from favchat.data.annotate.rows import Annotation, Writer, Written, table_of
from favchat.data.report.contact_sheet import face_strips
from tests.data.annotate.conftest import make_clip, write_shard


@pytest.fixture
def config(new_store: Callable[[Path], str], tmp_path: Path) -> Config:
    clips = [make_clip(f"c{number:02}", "happy", smile=number % 2, nod=0) for number in range(15)]
    write_shard(tmp_path, clips)
    config = Config()
    config.data.out = str(tmp_path)
    config.tracking.uri = new_store(tmp_path / "mlflow.db")
    return config


def said(console: Console) -> list[str]:
    return [re.sub(r"[│┃\s]+", " ", line).strip() for line in console.export_text().splitlines()]


def test_the_report_counts_what_was_written(config: Config, tmp_path: Path) -> None:
    annotated = jobs.annotate.run(config)
    rows = pq.read_table(annotated.result.path).to_pylist()
    console = Console(record=True, width=140, file=StringIO())
    annotated.report.show(console)
    lines = said(console)
    questions = [row for row in rows if row["task"] == "qa"]
    action = [row for row in questions if row["family"] == "action"]
    yes = sum(row["truth"] is True for row in action)
    chosen = [row for row in action if row["selected"]]
    both = [sum(row["truth"] is truth for row in chosen) for truth in (True, False)]
    assert f"action {len(action)} {yes} {yes} 50% {len(chosen)} {both[0]} {both[1]}" in lines
    assert f"yes_no {sum(row['answer_type'] == 'yes_no' for row in rows)}" in " ".join(lines)
    assert "contradictions: 0.00% of the rows" in lines
    assert f"checked against the labels {len(rows)}" in lines
    assert any(line.startswith(f"time {sum(row['level'] == 'time' for row in rows)} ") for line in lines)

    text = annotated.report.page.read_text()
    assert annotated.report.page == tmp_path / "annotations.html"
    shown = re.findall(r"<h2>(c\d\d)</h2><img alt=\"Faces of c\d\d\" src=\"data:image/jpeg;base64,", text)
    assert len(shown) == len(set(shown)) == 10
    for row in rows:
        if row["clip_id"] in shown:
            assert f"<td>{row['question'].replace(chr(39), '&#x27;')}</td>" in text
    assert not re.search(r"(src|href)=.?http", text)
    assert str(annotated.report.page) in annotated.summary()

    client = MlflowClient(tracking_uri=config.tracking.uri)
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.data.metrics["rows"] == len(rows)
    assert run.data.metrics["contradiction_rate"] == 0
    assert {"annotations.html", "config.yaml"} <= {file.path for file in client.list_artifacts(run.info.run_id)}


def test_contradictions_are_counted_and_named(config: Config, tmp_path: Path) -> None:
    class Wrong(Writer):
        name = "wrong"

        def write(self, rows: pa.Table, survey: object) -> Written:
            texts = ["They are <b>nodding</b>.", "They are nodding and look sad.", "They look happy.", "They sing."]
            rows = [Annotation("c01", "train", "qa", "What?", text, "open", "several") for text in texts]
            return Written(table_of(rows))

    report = write_annotation_report(annotate(config, Wrong()), tmp_path)
    assert report.contradictions == 2
    assert report.metrics()["contradiction_rate"] == 0.5
    (table,) = [lines for title, _, lines in report.tables() if title.startswith("contradictions")]
    assert table == [
        ["checked against the labels", "4"],
        ["contradict a label", "2"],
        ["  nod", "2"],
        ["  sadness", "1"],
    ]
    text = report.page.read_text()
    assert "They are &lt;b&gt;nodding&lt;/b&gt;." in text
    assert "contradicts nod, sadness" in text


def test_a_strip_shows_the_faces_of_a_clip_from_start_to_end(corpus: Path) -> None:
    row = next(iter(pq.read_table(corpus / "shards", columns=["clip_id", "visible"]).to_pylist()))
    strips = face_strips(corpus / "shards", [row["clip_id"], "unknown"], count=4, tile=32)
    assert list(strips) == [row["clip_id"]]
    strip = strips[row["clip_id"]]
    assert strip.shape == (32, 4 * 32, 3)
    assert strip.max() > 100
