"""Fixtures that every test may use; what is costly is made once."""

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
import ray
import s3fs
import torch
from mlflow.tracking import MlflowClient
from moto.server import ThreadedMotoServer
from safetensors.torch import save_file

import jobs.annotate
import jobs.prepare
from favchat.backbones import assets
from favchat.config import Config, load
from favchat.hub import shipped_model
from favchat.runtime.environment import KEEP_WORKERS, quiet_environment
from jobs.cli import CONFIGS
from jobs.quickstart import SAMPLE

# Ray Train looks for reports every 2 s and starts a process that watches for nodes about to be taken away: most of the
# time of trainings as short as these. Set before any Ray starts, here and in the commands that tests run.
os.environ |= {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0", **KEEP_WORKERS}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Ray's processes take these over from the one that starts Ray: where the S3 server of the `s3` fixture will listen.
S3_PORT = _free_port()
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3_PORT}",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray of two CPUs for the whole run; a test that needs Ray takes this fixture and starts none itself."""
    quiet_environment()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of an empty bucket on an S3 server that runs as long as the test."""
    server = ThreadedMotoServer("127.0.0.1", S3_PORT, verbose=False)
    server.start()
    files = s3fs.S3FileSystem()
    files.mkdir("clips")
    yield "s3://clips"
    files.rm("clips", recursive=True)
    server.stop()


@pytest.fixture
def memory() -> Iterator[str]:
    """The address of an empty folder that lies in memory."""
    address = f"memory:///{uuid4().hex}"
    yield address
    files = fsspec.filesystem("memory")
    if files.exists(address):
        files.rm(address, recursive=True)


@pytest.fixture(scope="session")
def new_store(tmp_path_factory) -> Callable[[Path], str]:
    """Makes an MLflow store at a path and gives its address.

    MLflow brings each new one through every version that its tables ever had, for seconds; here only the first.
    """
    first = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{first}").search_experiments()

    def make(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(first)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(scope="session")
def centerface() -> Path:
    """The detector's weights; skips where they cannot be had."""
    try:
        return assets.path("centerface")
    except assets.AssetError as error:
        pytest.skip(f"the face detector's weights cannot be fetched: {error}")


@pytest.fixture(scope="session")
def tiny_preset() -> Config:
    """The tiny preset."""
    return load(CONFIGS / "tiny.yaml")


@pytest.fixture(scope="session")
def tiny(tiny_preset):
    """The tiny model and its processor; a test that changes weights works on a deep copy."""
    from favchat.model.build import build

    return build(tiny_preset.model, seed=0)


@pytest.fixture
def stand_in(tiny, tiny_preset, tmp_path, monkeypatch) -> dict[str, torch.Tensor]:
    """A package whose own model is `tiny` with another adapter; gives that adapter's tensors."""
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: torch.rand(value.shape, generator=generator).half()
        for name, value in tiny[0].state_dict().items()
        if shipped_model.is_learnt(name)
    }
    monkeypatch.setattr(shipped_model, "ADAPTER", tmp_path / "small.safetensors")
    monkeypatch.setattr(shipped_model, "CARD", tmp_path / "small.md")
    home = tmp_path / "home"
    home.mkdir()
    (home / "assets").symlink_to(assets.home() / "assets")
    monkeypatch.setenv("FAVCHAT_HOME", str(home))
    settings = json.dumps(tiny_preset.model.model_dump(mode="json"))
    save_file(tensors, shipped_model.ADAPTER, metadata={"model": settings})
    shipped_model.CARD.write_text("Small.")
    return tensors


@pytest.fixture(scope="session")
def corpus(ray_session, centerface, new_store, tmp_path_factory) -> Path:
    """The sample clips, prepared and annotated: a folder with shards, rejects and annotations. Not to be written to."""
    out = tmp_path_factory.mktemp("corpus")
    config = load(
        CONFIGS / "tiny.yaml",
        [
            "data.source.kind=celebv_hq",
            f"data.source.path={SAMPLE / 'clips'}",
            f"data.source.annotations={SAMPLE / 'annotations.json'}",
            f"data.out={out}",
            "data.frames.fps=4",
            "data.frames.max_frames=8",
            f"tracking.uri={new_store(tmp_path_factory.mktemp('tracking') / 'mlflow.db')}",
        ],
    )
    jobs.prepare.run(config)
    jobs.annotate.run(config)
    return out
