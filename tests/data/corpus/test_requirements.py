"""What must lie in a corpus: told before anything starts."""

from pathlib import Path

import pytest

from favchat.config import ConfigError
from favchat.data.annotate.rows import table_of
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.requirements import check_corpus


def test_what_is_missing_is_told_with_the_step_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data.out = .*absent: no such folder; run `favchat prepare` first"):
        check_corpus(str(tmp_path / "absent"), annotations=False)
    with pytest.raises(ConfigError, match="no Parquet file in .*shards; run `favchat prepare` first"):
        check_corpus(str(tmp_path), annotations=False)
    write_whole(table_of([]), tmp_path / "shards" / "a.parquet")
    check_corpus(str(tmp_path), annotations=False)
    with pytest.raises(ConfigError, match="no annotations there; run `favchat annotate` first"):
        check_corpus(str(tmp_path), annotations=True)
    write_whole(table_of([]), tmp_path / "annotations" / "template.parquet")
    with pytest.raises(ConfigError, match="hold no row. .*annotate.writer=endpoint.*annotate.writer=model"):
        check_corpus(str(tmp_path), annotations=True)
    (tmp_path / "annotations" / "template.parquet").write_bytes(b"half a file")
    with pytest.raises(ConfigError, match="template.parquet is no Parquet file"):
        check_corpus(str(tmp_path), annotations=True)
