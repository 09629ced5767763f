"""The report on the prepared sample clips."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import ConfigError
from favchat.data.corpus.schema import QUALITY
from favchat.data.report.corpus_summary import shard_folder, summarise


@pytest.fixture(scope="module")
def summary(corpus):
    return summarise(corpus)


def test_counts_add_up(summary, corpus):
    rows = pq.read_table(corpus / "shards")
    assert summary.rows == rows.num_rows == sum(summary.splits.values()) == sum(summary.emotions.values()) == 23
    assert summary.rejected == 1
    assert summary.sources == {"celebv_hq": (23, 1)}
    assert list(summary.reasons) == ["track"]
    assert "no face" in summary.reasons["track"][1]
    assert summary.identities == len(set(rows["identity"].to_pylist()) - {None}) > 1
    assert summary.seconds == pytest.approx(sum(rows["duration"].to_pylist()))


def test_every_measure_has_a_value_for_each_row(summary):
    assert list(summary.measures) == list(QUALITY)
    assert {len(values) for values in summary.measures.values()} == {23}


def test_labels_stay_three_valued(summary, corpus):
    column = pq.read_table(corpus / "shards")["appearance"].to_pylist()
    for index in (0, 20, 39):
        labels = [row[index] for row in column]
        found = summary.labels[index]
        assert (found.yes, found.no, found.unknown) == (labels.count(1), labels.count(0), labels.count(None))
    assert len(summary.labels) == 75


def test_the_tables_can_be_read(summary):
    titles = [title for title, _, lines in summary.tables() if lines]
    assert titles[0].startswith("23 rows, 1 rejects")
    assert "rejects" in titles


def test_a_folder_of_shards_alone_will_do(corpus, tmp_path):
    (tmp_path / "anything").symlink_to(corpus / "shards")
    assert summarise(tmp_path / "anything").rows == 23
    assert shard_folder(corpus) == corpus / "shards"


def test_what_holds_no_shards_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no shards here"):
        summarise(tmp_path)
    pq.write_table(pa.table({"a": [1]}), Path(tmp_path) / "x.parquet")
    with pytest.raises(ConfigError, match="no Parquet file with the columns"):
        summarise(tmp_path)
