"""Near-duplicates: who goes, who shares a split, and that a run killed midway changes nothing."""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from favchat.data.corpus import ledger
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.parquet_files import WrittenFile, write_whole
from favchat.data.corpus.schema import REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.prepare import near_duplicates, near_hashes
from favchat.data.prepare.clip_plan import ClipList
from favchat.data.prepare.listed import listed_table
from favchat.data.prepare.near_duplicates import ROW_SCHEMA, apply_dedup
from favchat.video import hash_distance
from favchat.video.quality import DUPLICATE_DISTANCE

NOTHING = "0" * 96
NEAR = "0" * 84 + "f" * 12  # 48 bits from NOTHING
NEARER = "0" * 95 + "1"
FAR = "0" * 83 + "1" + "f" * 12  # 49 bits from NOTHING, 1 from NEAR


class Row(NamedTuple):
    """A row of ``ROW_SCHEMA``."""

    clip_id: str
    video: str
    split: str
    duplicate_hash: str
    reassignable: bool


class Decision(NamedTuple):
    """A row of ``RECORD_SCHEMA``."""

    clip_id: str
    duplicate_of: str | None
    distance: int | None
    dropped: bool
    split: str


def decide(existing: list[Row], new: list[Row], *, drop: bool) -> list[Decision]:
    tables = [pa.Table.from_pylist([one._asdict() for one in some], schema=ROW_SCHEMA) for some in (existing, new)]
    return [Decision(**one) for one in near_duplicates.decide(*tables, drop=drop).to_pylist()]


def row(clip_id: str, value: str, split: str = "train", *, video: str | None = None, reassignable: bool = True) -> Row:
    return Row(clip_id, video or f"/{clip_id}.mp4", split, value, reassignable)


# Bits set in blocks: many pairs lie close to the bound, on either side.
hashes = st.lists(st.integers(0, 15), min_size=24, max_size=24).map(
    lambda blocks: "".join(f"{(1 << block) - 1:04x}" for block in blocks)
)
rows = st.lists(
    st.builds(
        row,
        st.uuids().map(str),
        st.sampled_from([NOTHING, NEAR, FAR, NEARER, "f" * 96]) | hashes,
        st.sampled_from(["train", "val"]),
        video=st.sampled_from(["/a.mp4", "/b.mp4", None]),
        reassignable=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda row: row.clip_id,
)


def test_distances_on_the_bound() -> None:
    assert hash_distance(NOTHING, NEAR) == DUPLICATE_DISTANCE == 48
    near, far = decide([row("a", NOTHING)], [row("b", NEAR), row("c", FAR)], drop=True)
    assert (near.dropped, near.duplicate_of, near.distance) == (True, "a", 48)
    assert (far.dropped, far.duplicate_of) == (False, None)  # the row it is near to is gone


def test_the_nearest_counts_and_rows_that_are_kept_share_its_split() -> None:
    (_, found) = decide([row("a", NOTHING)], [row("b", FAR, "val"), row("c", NEAR)], drop=False)
    assert (found.duplicate_of, found.distance, found.split, found.dropped) == ("b", 1, "val", False)


def test_rows_of_one_video_stay_and_share_a_split() -> None:
    one = row("a", NOTHING, "val", video="/v")
    for value in (NOTHING, "f" * 96):
        (found,) = decide([one], [row("b", value, "train", video="/v")], drop=True)
        assert (found.dropped, found.duplicate_of, found.split) == (False, None, "val")


def test_a_split_that_the_source_or_an_identity_gave_is_kept() -> None:
    (found,) = decide([row("a", NOTHING, "val")], [row("b", NOTHING, "train", reassignable=False)], drop=False)
    assert (found.duplicate_of, found.split) == ("a", "train")


@given(rows, rows)
def test_no_duplicates_are_left_and_later_rows_change_nothing(some: list[Row], more: list[Row]) -> None:
    known = {one.clip_id for one in some}
    first = decide([], some, drop=True)
    kept = [
        one._replace(split=decision.split) for one, decision in zip(some, first, strict=True) if not decision.dropped
    ]
    added = [one for one in more if one.clip_id not in known]
    second = decide(kept, added, drop=True)
    kept += [one for one, decision in zip(added, second, strict=True) if not decision.dropped]
    for index, one in enumerate(kept):
        for other in kept[:index]:
            assert (
                one.video == other.video or hash_distance(one.duplicate_hash, other.duplicate_hash) > DUPLICATE_DISTANCE
            )
    # All at once is the same as one after the other, so a resumed job ends like an undisturbed one.
    assert decide([], [*some, *added], drop=True) == first + second


@given(rows)
def test_what_is_alike_lies_in_one_split(some: list[Row]) -> None:
    some = [one._replace(reassignable=True) for one in some]
    splits = {decision.clip_id: decision.split for decision in decide([], some, drop=True)}
    by_video = defaultdict(set)
    for one, decision in zip(some, decide([], some, drop=True), strict=True):
        if not decision.dropped:
            by_video[one.video].add(splits[one.clip_id])
    assert all(len(found) == 1 for found in by_video.values())


def test_many_rows_are_compared_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [row(str(number), f"{number % 7:x}" * 96) for number in range(20)]
    whole = decide([], some, drop=False)
    monkeypatch.setattr(near_hashes, "_CHUNK", 3)
    assert decide([], some, drop=False) == whole


EMPTY = {"string": "", "double": 0.0, "float": 0.0, "int32": 0, "bool": False}


def shard_row(one: Row, identity: str | None = None) -> dict[str, Any]:
    blank = {field.name: EMPTY.get(str(field.type), []) for field in SHARD_SCHEMA if not field.nullable}
    named = {"clip_id": one.clip_id, "video": one.video, "split": one.split, "duplicate_hash": one.duplicate_hash}
    track = int("__face" in one.clip_id)
    return blank | named | {"identity": identity, "frames": [b"x"], "source": "folder", "track": track}


SOME = [
    row("a", NOTHING),
    row("b", NEAR, "val"),  # goes, for a
    row("c", "f" * 96, "val"),
    row("c__face1", "f" * 96, "val", video="/c.mp4"),
    row("d", "f" * 95 + "e", "train"),  # goes, for c
    row("e", "0f" * 48, "train", video="/c.mp4"),  # stays, in c's split
]


def listed(clips: list[Clip], free: set[str] | None = None) -> ClipList:
    return ClipList(len(clips), [listed_table(clips, "folder", free or {clip.id for clip in clips})])


CLIPS = [Clip(id=one.clip_id, video=one.video) for one in SOME if "__" not in one.clip_id]
LISTED = listed(CLIPS)


def make_corpus(out: Path) -> Path:
    for number in range(0, len(SOME), 2):
        table = pa.Table.from_pylist([shard_row(one) for one in SOME[number : number + 2]], schema=SHARD_SCHEMA)
        write_whole(table, out / SHARDS / f"{number}.parquet")
    return out


def contents_of_shards(out: Path) -> list[tuple[str, str]]:
    return sorted((one["clip_id"], one["split"]) for one in pq.read_table(out / SHARDS).to_pylist())


def contents(out: Path) -> dict[str, list[tuple[str, ...]]]:
    rejects = pq.read_table(out / REJECTS).to_pylist()
    return {
        "shards": contents_of_shards(out),
        "rejects": sorted((one["clip_id"], one["stage"], one["reason"]) for one in rejects),
    }


SETTLED = {
    "shards": [("a", "train"), ("c", "val"), ("c__face1", "val"), ("e", "val")],
    "rejects": [
        (
            clip_id,
            "duplicate",
            f"near-duplicate of '{first}': {distance} of 384 bits of the hash differ, copies differ in 48 at most",
        )
        for clip_id, first, distance in (("b", "a", 48), ("d", "c", 1))
    ],
}


def test_shards_and_rejects_follow_and_the_rest_of_a_row_stays(tmp_path: Path) -> None:
    out = make_corpus(tmp_path)
    apply_dedup(out, LISTED, drop=True)
    assert contents(out) == SETTLED
    assert all(one["frames"] == [b"x"] for one in pq.read_table(out / SHARDS).to_pylist())
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")}
    apply_dedup(out, listed(CLIPS[::-1]), drop=True)  # another order changes nothing that is settled
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")} == before


def test_tasks_decide_as_this_process_does(ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "IN_DRIVER", 0)
    out = make_corpus(tmp_path)
    for _ in range(2):
        apply_dedup(out, LISTED, drop=True)
        assert contents(out) == SETTLED


def test_a_further_face_stays_in_the_split_of_the_person_that_its_frames_show(tmp_path: Path) -> None:
    """The main face was dropped by a filter, say, and the other one nearly equals a clip of another split."""
    some = [shard_row(row("a", NOTHING)), shard_row(row("p__face1", NEAR, "val", video="/p.mp4"))]
    write_whole(pa.Table.from_pylist(some, schema=SHARD_SCHEMA), tmp_path / SHARDS / "1.parquet")
    clips = [Clip(id="a", video="/a.mp4"), Clip(id="p", video="/p.mp4", identity="Ann")]
    apply_dedup(tmp_path, listed(clips, {"a"}), drop=False)
    assert contents_of_shards(tmp_path) == [("a", "train"), ("p__face1", "val")]


def test_rows_added_later_give_way_wherever_the_source_lists_them(tmp_path: Path) -> None:
    out = make_corpus(tmp_path)
    apply_dedup(out, LISTED, drop=True)
    write_whole(pa.Table.from_pylist([shard_row(row("0", NOTHING))], schema=SHARD_SCHEMA), out / SHARDS / "new.parquet")
    clips = [Clip(id="0", video="/0.mp4"), *CLIPS]
    apply_dedup(out, listed(clips), drop=True)
    assert contents(out)["shards"] == SETTLED["shards"]
    assert not (out / SHARDS / "new.parquet").exists()


@pytest.mark.parametrize("survived", range(12))
def test_a_kill_between_any_two_writes_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    out = make_corpus(tmp_path)
    written = []

    def die(table: pa.Table, path: Path) -> WrittenFile:
        if len(written) == survived:
            raise KeyboardInterrupt
        written.append(path)
        return write_whole(table, path)

    with monkeypatch.context() as patch:
        for module in (near_duplicates, ledger):
            patch.setattr(module, "write_whole", die)
        with pytest.raises(KeyboardInterrupt):
            apply_dedup(out, LISTED, drop=True)
    apply_dedup(out, LISTED, drop=True)
    assert contents(out) == SETTLED


def test_all_rows_stay_where_that_is_wanted(tmp_path: Path) -> None:
    out = make_corpus(tmp_path)
    apply_dedup(out, LISTED, drop=False)
    shards = pq.read_table(out / SHARDS).to_pylist()
    assert {one["clip_id"]: one["split"] for one in shards} == {
        "a": "train",
        "b": "train",
        "c": "val",
        "c__face1": "val",
        "d": "val",
        "e": "val",
    }
    assert not (out / REJECTS).exists()
