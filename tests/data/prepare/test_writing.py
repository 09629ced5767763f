"""What the last step of `prepare` makes of a batch. No Ray here; the pipeline's tests have that."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from favchat.config import DataConfig
from favchat.data.corpus import ledger
from favchat.data.prepare.clip_rows import OUTCOME_SCHEMA
from favchat.data.prepare.pipeline import _write, batch_rows, divided


class OfADriver(Exception):
    """Such as botocore's, which is no OSError."""


def test_whatever_keeps_a_batch_from_being_written_ends_the_job_and_is_no_clips_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(table: pa.Table, path: Path) -> None:
        raise OfADriver("Could not connect")

    monkeypatch.setattr(ledger, "write_whole", unreachable)
    reject = {"clip_id": "a", "source": "folder", "video": "/a.mp4", "start": 0.0, "tracks": 1}
    table = pa.Table.from_pylist([{**reject, "stage": "open", "reason": "no"}], schema=OUTCOME_SCHEMA)
    fates = _write(table, tmp_path)
    assert fates.to_pylist() == [{"error": f"cannot write to {tmp_path}: OfADriver: Could not connect"}]


def table(sizes: list[int]) -> pa.Table:
    half = [size // 2 for size in sizes]
    images = [[b"x" * part, b"y" * (size - part)] for size, part in zip(sizes, half, strict=True)]
    return pa.table({"clip_id": [str(n) for n in range(len(sizes))], "frames": images, "faces": [[b""]] * len(sizes)})


@example(sizes=[0, 0, 0], limit=100)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.integers(100, 400))
def test_shards_hold_all_rows_in_order_and_no_more_than_their_bytes(sizes: list[int], limit: int) -> None:
    shards = divided(table(sizes), limit)
    assert pa.concat_tables(shards)["clip_id"].to_pylist() == [str(number) for number in range(len(sizes))]
    held = [sum(len(image) for images in shard["frames"].to_pylist() for image in images) for shard in shards]
    assert all(shard.num_rows for shard in shards) and max(held) <= limit
    assert len(shards) <= 2 * sum(sizes) / limit + 2


def test_a_clip_larger_than_a_shard_is_one_alone() -> None:
    assert [shard.num_rows for shard in divided(table([5, 900, 5]), 100)] == [1, 1, 1]
    assert divided(table([5]).slice(0, 0), 100) == []


def test_clips_are_gathered_by_what_their_images_may_take() -> None:
    config = DataConfig()
    assert 200 < batch_rows(config) < 400
    config.encoding = "raw"
    assert 20 < batch_rows(config) < 80
    config.clips_per_shard = 3
    assert batch_rows(config) == 3
