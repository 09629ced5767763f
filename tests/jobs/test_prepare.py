"""The job on sample clips with the real detector, then the annotations of what it wrote."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
from mlflow.tracking import MlflowClient

import favchat
import jobs.annotate
from favchat.assets import AssetError
from favchat.config import Config, ConfigError
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
    config.tracking.uri = f"sqlite:///{out}/mlflow.db"
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


def test_the_sample_corpus(ray_session: None, tmp_path: Path) -> None:
    try:
        CenterFaceDetector().detect(np.zeros((1, 64, 64, 3), np.uint8))
    except AssetError as error:
        pytest.skip(f"the face detector's weights cannot be had: {error}")
    config = settings(tmp_path)
    prepared = run(config)
    result = prepared.result
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
