"""The pages that go with the report."""

import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from PIL import Image
from typer.testing import CliRunner

from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import LEDGER, REJECT_SCHEMA, REJECTS
from favchat.data.report.contact_sheet import contact_sheet
from favchat.data.report.html_page import write_report
from jobs.cli import app


@pytest.fixture(scope="module")
def report(corpus, tmp_path_factory):
    return write_report(corpus, tmp_path_factory.mktemp("report") / "new")


class Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.said, self.pictures, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


def test_the_page_is_whole_and_asks_no_other_host(report):
    text = report.page.read_text()
    words = Words()
    words.feed(text)
    assert words.open == []
    assert len(words.pictures) == 2
    assert all(source.startswith("data:image/") for source in words.pictures)
    assert not re.search(r"(src|href)=.?http", text)
    for expected in ("celebv_hq", "sharpness", "smile", "no face found"):
        assert any(expected in said for said in words.said)


def test_the_sheet_shows_a_face_for_each_clip(report):
    with Image.open(report.sheet) as sheet:
        assert sheet.size == (12 * 96, 2 * 96)
        tiles = [sheet.crop((96 * x, 96 * y, 96 * x + 96, 96 * y + 96)).convert("L") for y in (0, 1) for x in range(12)]
    bright = [tile.getextrema()[1] > 100 for tile in tiles]
    assert sum(bright) == 23


def test_a_sheet_is_drawn_by_its_seed(corpus):
    shards = corpus / "shards"
    first = contact_sheet(shards, count=4, columns=2, tile=32)
    assert first.shape == (64, 64, 3)
    assert (contact_sheet(shards, count=4, columns=2, tile=32) == first).all()
    assert (contact_sheet(shards, count=4, columns=2, tile=32, seed=1) != first).any()


def test_inspect_says_what_lies_there(corpus, tmp_path):
    done = CliRunner().invoke(app, ["inspect", str(corpus), "--out", str(tmp_path)])
    assert done.exit_code == 0
    assert "23 rows, 1 rejects" in done.output
    assert (tmp_path / "report.html").is_file() and (tmp_path / "faces.jpg").is_file()


def test_a_corpus_of_rejects_alone_is_reported(tmp_path):
    reject = {"source": "folder", "start": 0.0, "end": None, "tracks": 1, "stage": "track", "reason": "no face found"}
    rejects = [{"clip_id": name, "video": f"/{name}.mp4", **reject} for name in "ab"]
    write_whole(pa.Table.from_pylist(rejects, schema=REJECT_SCHEMA), tmp_path / REJECTS / "1.parquet")
    done = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "0 rows, 2 rejects" in done.output and "no face found" in done.output
    assert {file.name for file in tmp_path.iterdir()} == {REJECTS, LEDGER, "report.html"}
    words = Words()
    words.feed((tmp_path / "report.html").read_text())
    assert words.open == [] and words.pictures == []
    assert "no face found" in words.said and "measure" not in words.said
