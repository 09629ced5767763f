"""What the last step of `prepare` makes of a batch. No Ray here; the pipeline's tests have that."""

from pathlib import Path

import pyarrow as pa
import pytest

from favchat.data.prepare import pipeline
from favchat.data.prepare.clip_rows import OUTCOME_SCHEMA
from favchat.data.prepare.pipeline import _write


class OfADriver(Exception):
    """Such as botocore's, which is no OSError."""


def test_whatever_keeps_a_batch_from_being_written_ends_the_job_and_is_no_clips_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(table: pa.Table, path: Path) -> None:
        raise OfADriver("Could not connect")

    monkeypatch.setattr(pipeline, "write_whole", unreachable)
    reject = {"clip_id": "a", "source": "folder", "video": "/a.mp4", "start": 0.0, "tracks": 1}
    table = pa.Table.from_pylist([{**reject, "stage": "open", "reason": "no"}], schema=OUTCOME_SCHEMA)
    fates = _write(table, tmp_path)
    assert fates.to_pylist() == [{"clip_id": "a", "error": f"cannot write to {tmp_path}: OfADriver: Could not connect"}]
