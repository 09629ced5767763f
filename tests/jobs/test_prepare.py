"""The job on sample clips with the real detector, then the annotations of what it wrote."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
from mlflow.tracking import MlflowClient

import favchat
import jobs.annotate
from favchat.backbones.assets import AssetError
from favchat.config import Config, ConfigError, SourceConfig
from favchat.video import CenterFaceDetector
from jobs.prepare import run

SAMPLE = Path(favchat.__file__).parent / "sample"


def settings(out: Path) -> Config:
    config = Config()
    config.data.out = str(out)
    config.data.source.kind = "celebv_hq"
    config.data.source.path = str(SAMPLE / "clips")
    config.data.source.annotations = str(SAMPLE / "annotations.json")
    config.data.frames.max_frames = 4
    return config


def test_missing_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="data.source.path=... and data.out=..."):
        run(Config())


def test_a_source_that_is_not_there_is_said_before_ray_is_started(tmp_path: Path) -> None:
    running = ray.is_initialized()
    config = settings(tmp_path)
    config.data.source.path = str(tmp_path / "absent")
    with pytest.raises(ConfigError, match="data.source.path: .*/absent is no folder"):
        run(config)
    assert ray.is_initialized() == running


def test_the_sample_corpus(ray_session: None, new_store: Callable[[Path], str], tmp_path: Path) -> None:
    try:
        CenterFaceDetector().detect(np.zeros((1, 64, 64, 3), np.uint8))
    except AssetError as error:
        pytest.skip(f"the face detector's weights cannot be had: {error}")
    config = settings(tmp_path)
    config.tracking.uri = new_store(tmp_path / "mlflow.db")
    prepared = run(config)
    (result,) = prepared.results
    assert result.clips == len(list((SAMPLE / "clips").glob("*.mp4")))
    rejects = pq.read_table(result.rejects).to_pylist()
    assert [(row["clip_id"], row["stage"]) for row in rejects] == [("noface_0", "track")]
    assert prepared.report.summary.rows == result.in_shards
    assert str(tmp_path / "report.html") in prepared.summary()
    client = MlflowClient(tracking_uri=config.tracking.uri)
    (logged,) = client.search_runs([client.get_experiment_by_name("favchat").experiment_id])
    assert logged.data.metrics["rejected"] == 1
    assert {"report.html", "faces.jpg", "config.yaml"} <= {
        file.path for file in client.list_artifacts(logged.info.run_id)
    }
    annotated = jobs.annotate.run(config).result
    assert (annotated.clips, annotated.unwritten) == (result.in_shards, 0)
    assert {"train", "val"} >= set(pq.read_table(annotated.path)["split"].to_pylist()) >= {"train"}


def test_a_job_that_is_killed_and_started_again_ends_like_an_undisturbed_one(
    corpus: Path, new_store: Callable[[Path], str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    same = ["celebv_hq", SAMPLE / "clips", SAMPLE / "annotations.json"]
    words = [f"data.source.{key}={value}" for key, value in zip(("kind", "path", "annotations"), same, strict=True)]
    words += [f"data.out={out}", "data.frames.fps=4", "data.frames.max_frames=8", "data.clips_per_shard=3"]
    words += [f"tracking.uri={new_store(tmp_path / 'mlflow.db')}", "ray.num_cpus=1"]
    command = [sys.executable, "-m", "jobs.cli", "prepare", "tiny", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as job:
        while not list(out.glob("shards/*.parquet")) and job.poll() is None:
            time.sleep(0.02)
        os.killpg(job.pid, signal.SIGKILL)

    def written() -> dict[Path, int]:
        return {
            file: file.stat().st_mtime_ns for name in ("shards", "rejects") for file in out.glob(f"{name}/*.parquet")
        }

    before = written()
    done = sum(pq.read_metadata(file).num_rows for file in before)
    assert 0 < done < 24
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "23 in shards, 1 rejected" in again.stdout
    skipped = int(re.search(r"(\d+) were there already", again.stdout)[1])
    assert skipped >= done  # a task may outlive the job it belongs to for a moment
    assert before.items() <= written().items()
    for folder in ("shards", "rejects"):
        assert pq.read_table(out / folder).sort_by("clip_id").equals(pq.read_table(corpus / folder).sort_by("clip_id"))


def test_several_sources_become_one_corpus(ray_session, centerface, new_store, tmp_path: Path) -> None:
    for name, clip in (("a", "pexels_0"), ("b", "franck_0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{clip}.mp4").symlink_to(SAMPLE / "clips" / f"{clip}.mp4")
    config = settings(tmp_path / "out")
    config.tracking.uri = new_store(tmp_path / "mlflow.db")
    config.data.sources = [
        SourceConfig(path=str(tmp_path / "a"), split="train"),
        SourceConfig(path=str(tmp_path / "b"), split="val"),
    ]
    prepared = run(config)
    assert [result.clips for result in prepared.results] == [1, 1]
    rows = [row for result in prepared.results[:1] for row in pq.read_table(result.shards).to_pylist()]
    assert {row["clip_id"]: row["split"] for row in rows} == {"pexels_0": "train", "franck_0": "val"}
    assert prepared.summary().count("prepared 1 clips") == 2


def test_a_source_of_several_that_lacks_a_setting_is_named(tmp_path: Path) -> None:
    config = settings(tmp_path)
    config.data.sources = [SourceConfig(path=str(tmp_path)), SourceConfig(kind="celebv_hq", path=str(tmp_path))]
    with pytest.raises(ConfigError, match=r"data.sources.1.annotations=..."):
        run(config)
