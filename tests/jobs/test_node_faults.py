"""A node that goes while a command works on it; `benchmarks/node_faults.py` does the same to all commands."""

import pytest

from benchmarks.node_faults import command, settings, working
from benchmarks.pipeline_kills import rows


@pytest.mark.ray
def test_clips_of_a_node_that_was_taken_away_are_done_on_another(centerface, new_store, tmp_path):
    new_store(tmp_path / "mlflow.db")
    words = settings(tmp_path, "data.frames.max_frames=2")
    happened = command(tmp_path / "log.txt", "prepare", words, working("ClipProcessor", 1))
    assert happened.startswith("node killed")
    done, rejected = (rows(tmp_path / "corpus" / name)["clip_id"].to_pylist() for name in ("shards", "rejects"))
    assert rejected == ["noface_0"]
    assert len(done) == len(set(done)) == 23
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
