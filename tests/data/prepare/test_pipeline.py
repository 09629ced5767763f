"""Clips in = shards + rejects, on a real Ray with a detector that needs no weights."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from upath import UPath

import favchat
from favchat.config import Config, ConfigError
from favchat.data.annotate.pipeline import annotate
from favchat.data.corpus.parquet_files import read_folder
from favchat.data.corpus.schema import REJECT_SCHEMA, SHARD_SCHEMA
from favchat.data.prepare import clip_plan, near_duplicates
from favchat.data.prepare.pipeline import PrepareResult, prepare
from favchat.data.report.html_page import write_report
from favchat.io.files import write_text_whole
from favchat.labels.attributes import ACTION, APPEARANCE
from favchat.video import Detections
from favchat.video.images import decode_images

CLIPS = Path(favchat.__file__).parent / "sample" / "clips"
LANDMARKS = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]], np.float32)


@dataclasses.dataclass
class CentreDetector:
    """Takes the middle of every image for a face; ends its process at one width of images, hangs at another."""

    fatal_width: int = 0
    endless_width: int = 0

    def detect(self, images: np.ndarray) -> list[Detections]:
        height, width = images.shape[1:3]
        if width == self.fatal_width:
            os._exit(1)
        if width == self.endless_width:
            time.sleep(3600)
        scale = np.array([width, height], np.float32)
        box = np.array([[0.3, 0.3, 0.7, 0.7]], np.float32) * np.tile(scale, 2)
        return [Detections(box, LANDMARKS[None] * scale, np.ones(1, np.float32)) for _ in images]


def settings(folder: Path, out: Path, **data: Any) -> Config:
    config = Config()
    config.data = config.data.model_copy(update={"out": str(out), "workers": 1, "duplicates": "keep", **data})
    config.data.source.path = str(folder)
    config.data.frames.max_frames = 4
    config.data.frames.side = 128
    return config


def make_folder(folder: Path, *names: str, copies: str = "pexels_0.mp4") -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(CLIPS / copies, folder / name)
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder).to_pylist() if folder.exists() else []


@pytest.fixture(scope="module")
def prepared(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Three good clips and two bad ones, prepared with two clips a shard."""
    root = tmp_path_factory.mktemp("prepared")
    folder = make_folder(root / "videos", "a.mp4", "b c é.mp4", "d.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video")
    config = settings(folder, root / "out", clips_per_shard=2)
    result = prepare(config, CentreDetector)
    assert (result.clips, result.in_shards, result.rejected, result.skipped) == (5, 3, 2, 0)
    assert result.summary().startswith("prepared 5 clips: 3 in shards, 2 rejected (2 at open)")
    return config


def test_every_clip_is_one_row(prepared: Config) -> None:
    out = Path(prepared.data.out or "")
    assert [row["clip_id"] for row in rows(out / "rejects")] == ["empty", "text"]
    assert sorted(row["clip_id"] for row in rows(out / "shards")) == ["a", "b_c_é", "d"]
    assert all(row["stage"] == "open" and row["reason"] for row in rows(out / "rejects"))


def test_the_files_have_the_documented_columns(prepared: Config) -> None:
    out = Path(prepared.data.out or "")
    shards, rejects = sorted((out / "shards").iterdir()), sorted((out / "rejects").iterdir())
    assert max(pq.read_metadata(file).num_rows for file in shards) <= 2
    for file in shards:
        assert pq.read_schema(file).equals(SHARD_SCHEMA)
    for file in rejects:
        assert pq.read_schema(file).equals(REJECT_SCHEMA)


def test_a_row_holds_the_media_in_step(prepared: Config) -> None:
    row = rows(Path(prepared.data.out or "") / "shards")[0]
    frames, faces = decode_images(row["frames"]), decode_images(row["faces"])
    assert frames.shape[0] == faces.shape[0] == len(row["timestamps"]) == 4
    assert max(frames.shape[1:3]) == 128
    assert faces.shape[1:] == (160, 160, 3)
    assert frames.std() > 10
    assert faces.std() > 10
    assert [len(row[name]) for name in ("boxes", "landmarks", "scores", "visible")] == [4] * 4
    assert np.allclose(row["boxes"], [0.3, 0.3, 0.7, 0.7], atol=1e-3)
    assert np.allclose(row["landmarks"], LANDMARKS.reshape(10), atol=1e-3)
    assert row["visible"] == [True] * 4
    assert row["appearance"] == [None] * 40
    assert (row["emotion"], row["end"], row["split"]) == (None, None, "train")


def test_the_same_clips_give_the_same_files(prepared: Config, tmp_path: Path) -> None:
    first = Path(prepared.data.out or "")
    before = {file.name: pq.read_table(file).to_pylist() for file in first.glob("*/*.parquet")}
    prepare(settings(Path(prepared.data.source.path or ""), tmp_path, clips_per_shard=2), CentreDetector)
    assert {file.name: pq.read_table(file).to_pylist() for file in tmp_path.glob("*/*.parquet")} == before
    assert len(list((first / "shards").iterdir())) == 2 and len(before) > 2


def test_a_second_run_does_only_what_is_missing(prepared: Config) -> None:
    out = Path(prepared.data.out or "")
    before = {file: file.stat().st_mtime_ns for file in out.glob("*/*.parquet")}
    folder = Path(prepared.data.source.path or "")
    shutil.copy(folder / "a.mp4", folder / "new.mp4")
    (out / "shards" / ".killed.parquet.1.tmp").write_bytes(b"half a file")
    result = prepare(prepared, CentreDetector)
    assert (result.clips, result.in_shards, result.rejected, result.skipped) == (6, 4, 2, 5)
    after = {file: file.stat().st_mtime_ns for file in out.glob("*/*.parquet")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2  # a shard, and its part of the ledger


def test_another_video_of_the_same_id_is_refused(prepared: Config, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "other", "a.mp4")
    with pytest.raises(ConfigError, match="holds a clip 'a' made from .*choose another data.out"):
        prepare(settings(folder, Path(prepared.data.out or "")), CentreDetector)


def test_bad_entries_stop_nothing(ray_session: None, tmp_path: Path) -> None:
    """As in CelebV-HQ's published file: a segment that ends before it starts, a box over the edge."""
    folder, out = make_folder(tmp_path / "videos", "cut_0.mp4", "RAWvid.mp4"), tmp_path / "out"
    attributes = {"appearance": [0] * 40, "action": [0] * 35}
    segments = [{"emotion": "neutral", "start_sec": 0, "end_sec": 1.28}]
    segments.append({"emotion": "happy", "start_sec": 1.28, "end_sec": -3.2})
    clips: dict[str, Any] = {
        "cut_0": {"attributes": {**attributes, "emotion": {"sep_flag": True, "labels": segments}}},
        "RAWvid_0": {
            "ytb_id": "RAWvid",
            "duration": {"start_sec": 0.5, "end_sec": 2.0},
            "bbox": {"top": -0.1, "bottom": 1.2, "left": -0.05, "right": 0.9},
            "attributes": attributes,
        },
        "RAWvid_1": {"ytb_id": "RAWvid", "attributes": attributes},
        "gone_0": {"attributes": attributes},
    }
    kinds = (("appearance", APPEARANCE), ("action", ACTION))
    meta = {f"{kind}_mapping": [attribute.name for attribute in some] for kind, some in kinds}
    file = tmp_path / "info.json"

    def run() -> PrepareResult:
        file.write_text(json.dumps({"meta_info": meta, "clips": clips}), encoding="utf-8-sig")
        config = settings(folder, out)
        config.data.source.kind, config.data.source.annotations = "celebv_hq", str(file)
        return prepare(config, CentreDetector)

    result = run()
    assert (result.clips, result.in_shards, result.rejected) == (4, 2, 2)
    assert result.summary().startswith(
        "prepared 4 clips: 2 in shards, 2 rejected (1 at open, 1 at source); emotion segments left out: 1 -> "
    )
    there = {row["clip_id"]: row for row in rows(out / "shards")}
    assert there["cut_0"]["emotion_segments"] == [{"emotion": "neutral", "start": 0.0, "end": 1.28}]
    assert there["RAWvid_0"]["box"] == [0.0, 0.0, 0.9, 1.0]
    reasons = {row["clip_id"]: row["reason"] for row in rows(out / "rejects") if row["stage"] == "source"}
    assert list(reasons) == ["RAWvid_1"] and "duration = None" in reasons["RAWvid_1"]

    # Mended, it is a clip. One that goes bad later does not take its row with it, and is a reject beside it.
    clips["RAWvid_1"]["duration"] = {"start_sec": 0, "end_sec": 0.4}
    clips["cut_0"]["split"] = 3
    clips["RAWvid_0"]["split"] = clips["RAWvid_1"]["split"] = clips["gone_0"]["split"] = "train"
    result = run()
    assert (result.clips, result.in_shards, result.rejected) == (4, 2, 2)
    assert sorted(row["clip_id"] for row in rows(out / "shards")) == ["RAWvid_0", "RAWvid_1", "cut_0"]
    assert [row["clip_id"] for row in rows(out / "rejects") if row["stage"] == "source"] == ["cut_0__2"]


def test_a_list_too_large_for_one_process_becomes_the_same_rows(
    prepared: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "videos", "a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")
    make_folder(folder, "other.mp4", copies="franck_0.mp4")
    (folder / "text.mp4").write_text("no video")
    short = prepare(settings(folder, tmp_path / "short", duplicates="drop"), CentreDetector)
    monkeypatch.setattr(clip_plan, "IN_DRIVER", 2)
    monkeypatch.setattr(clip_plan, "BUCKET", 3)
    monkeypatch.setattr(near_duplicates, "IN_DRIVER", 2)
    config = settings(folder, tmp_path / "long", duplicates="drop")
    for skipped in (0, 7):
        long = prepare(config, CentreDetector)
        assert (long.clips, long.in_shards, long.reasons, long.skipped) == (7, 2, {"duplicate": 4, "open": 1}, skipped)
    assert (short.in_shards, short.reasons) == (long.in_shards, long.reasons)
    for name in ("shards", "rejects"):
        there, expected = ({row["clip_id"]: row for row in rows(tmp_path / one / name)} for one in ("long", "short"))
        assert there == expected
    assert not (tmp_path / "long" / "planning").exists()


def content(row: dict[str, Any]) -> dict[str, Any]:
    """What a row holds of its video, whose name is another one."""
    return {name: value for name, value in row.items() if name not in ("clip_id", "video", "split")}


@pytest.fixture
def undisturbed(prepared: Config) -> dict[str, Any]:
    """The row of the sample clip that `make_folder` copies."""
    return next(row for row in rows(Path(prepared.data.out or "") / "shards") if row["clip_id"] == "a")


def test_clips_that_kill_their_process_or_hang_are_rejected_and_take_no_other_with_them(
    undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "videos", "a.mp4", "c.mp4", "d.mp4")
    make_folder(folder, "b.mp4", copies="franck_0.mp4")
    make_folder(folder, "e.mp4", copies="capture_0.mp4")
    config = settings(folder, tmp_path / "out", seconds_per_clip=2)
    result = prepare(config, partial(CentreDetector, fatal_width=360, endless_width=400))
    assert (result.clips, result.in_shards, result.reasons) == (5, 3, {"internal": 2})
    kept = rows(tmp_path / "out" / "shards")
    assert sorted(row["clip_id"] for row in kept) == ["a", "c", "d"]
    assert all(content(row) == content(undisturbed) for row in kept)
    rejects = rows(tmp_path / "out" / "rejects")
    assert sorted(reject["clip_id"] for reject in rejects) == ["b", "e"]
    for reject in rejects:
        assert "process that worked on this clip died" in reject["reason"]
        assert "more than data.seconds_per_clip = 2" in reject["reason"]


@dataclasses.dataclass
class NamedDetector(CentreDetector):
    """Takes its time, and says in which process it works."""

    file: Path = Path()

    def detect(self, images: np.ndarray) -> list[Detections]:
        if images.any():
            write_text_whole(self.file, str(os.getpid()))  # it is read meanwhile
            time.sleep(0.5)
        return super().detect(images)


def kill_when_half_is_done(out: Path, pid: Path, killed: list[int]) -> None:
    end = time.monotonic() + 300
    while len(list((out / "shards").glob("*.parquet"))) < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    killed.append(int(pid.read_text()))
    os.kill(killed[0], signal.SIGKILL)


def test_a_worker_that_is_killed_midway_changes_no_row(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "videos", *[f"{i}.mp4" for i in range(6)])
    out, pid, killed = tmp_path / "out", tmp_path / "pid", list[int]()
    killer = Thread(target=kill_when_half_is_done, args=(out, pid, killed))
    killer.start()
    result = prepare(settings(folder, out, clips_per_shard=1), partial(NamedDetector, file=pid))
    killer.join()
    assert int(pid.read_text()) != killed[0]  # it died at work, and another one went on
    assert (result.in_shards, result.rejected) == (6, 0)
    kept = rows(out / "shards")
    assert sorted(row["clip_id"] for row in kept) == [str(i) for i in range(6)]
    assert all(content(row) == content(undisturbed) for row in kept)


def test_a_corpus_on_object_storage_whose_copies_go_to_the_rejects(ray_session: None, tmp_path: Path, s3: str) -> None:
    folder = make_folder(tmp_path / "videos", "a.mp4", "b.mp4", "c.mp4")
    make_folder(folder, "other.mp4", copies="franck_0.mp4")
    (folder / "text.mp4").write_text("no video")
    UPath(s3, "in", "more").mkdir(parents=True)
    for file in folder.iterdir():
        UPath(s3, "in", "more", file.name).write_bytes(file.read_bytes())
    config = settings(UPath(s3, "in"), UPath(s3, "out"), clips_per_shard=2, duplicates="drop")
    result = prepare(config, CentreDetector)
    assert (result.clips, result.in_shards, result.reasons) == (5, 2, {"duplicate": 2, "open": 1})
    assert str(result.shards) == f"{s3}/out/shards"
    row, other = read_folder(result.shards, ["clip_id", "video", "frames"]).sort_by("clip_id").to_pylist()
    assert (row["clip_id"], row["video"]) == ("more__a", f"{s3}/in/more/a.mp4")
    assert other["clip_id"] == "more__other"
    rejects = read_folder(result.rejects, ["clip_id", "stage", "reason"]).to_pylist()
    copies = {reject["clip_id"]: reject["reason"] for reject in rejects if reject["stage"] == "duplicate"}
    assert set(copies) == {"more__b", "more__c"}
    assert copies["more__b"].startswith("near-duplicate of 'more__a': 0 of 384 bits of the hash differ")
    assert decode_images(row["frames"]).shape[0] == 4
    assert {file.name for file in UPath(s3, "out").iterdir()} == {
        "shards",
        "rejects",
        "ledger",
        "settings.json",
        "duplicates.parquet",
    }
    again = prepare(config, CentreDetector)
    assert (again.clips, again.skipped) == (5, 5)
    report = write_report(UPath(s3, "out"))
    assert report.summary.rows == 2 and report.page.read_text().startswith("<!doctype html>")
    assert annotate(config).path.exists()


TWO_NODES = """
import sys
from functools import partial
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster

from favchat.config import Config
from favchat.data.prepare.pipeline import PrepareResult, prepare
from favchat.data.corpus.parquet_files import read_folder
from favchat.video import Detections


class NodeDetector:
    def __init__(self, folder):
        self.folder = folder

    def detect(self, images):
        node = ray.get_runtime_context().get_node_id()
        if images.any():
            with open(Path(self.folder, node), "a") as file:
                file.write("x")
        box = np.array([[40, 40, 80, 80]], np.float32)
        points = np.array([[50, 50], [70, 50], [60, 60], [52, 70], [68, 70]], np.float32)
        return [Detections(box, points[None], np.ones(1, np.float32))] * len(images)


cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
config = Config()
config.data = config.data.model_copy(update={"out": sys.argv[3], "duplicates": "keep"})
config.data.source.path = sys.argv[1]
config.data.frames.max_frames = 4
result = prepare(config, partial(NodeDetector, sys.argv[2]))
print("\\n", result.in_shards, "in shards")
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.ray
def test_two_nodes_share_the_work(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "videos", *[f"{i}.mp4" for i in range(12)])
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    command = [sys.executable, "-c", TWO_NODES, folder, nodes, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " 12 in shards" in done.stdout
    work = [len(file.read_text()) for file in nodes.iterdir()]
    assert sum(work) == 12 and len(work) == 2 and min(work) >= 3
    assert sorted(row["clip_id"] for row in rows(tmp_path / "out" / "shards")) == sorted(str(i) for i in range(12))


@dataclasses.dataclass
class HereOnly(CentreDetector):
    """Works in one process alone, as weights that another machine of the cluster lacks."""

    pid: int = 0

    def detect(self, images: np.ndarray) -> list[Detections]:
        if os.getpid() != self.pid:
            raise FileNotFoundError("no weights on this machine")
        return super().detect(images)


def test_a_detector_that_cannot_be_had_in_a_worker_rejects_no_clip(ray_session: None, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "videos", "a.mp4")
    with pytest.raises(Exception, match="no weights on this machine"):
        prepare(settings(folder, tmp_path / "out"), partial(HereOnly, pid=os.getpid()))
    assert not (tmp_path / "out" / "rejects").exists()


def test_an_output_that_cannot_be_written_is_no_clips_fault(ray_session: None, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "videos", "a.mp4")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shards").write_text("a file where a folder must be")
    with pytest.raises(OSError, match="cannot write to"):
        prepare(settings(folder, tmp_path / "out"), CentreDetector)
    assert not (tmp_path / "out" / "rejects").exists()
