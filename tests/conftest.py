"""Fixtures that every test may use; what is costly is made once, and imported where it is needed."""

import gc
import json
import os

# Torch's threads that wait for each other sleep; it reads this when it is imported. By default they spin, which took
# ten times the CPU time of the tests' small models.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import random
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from favchat.backbones import assets
from favchat.config import Config, RayConfig, load
from favchat.hub import shipped_model
from favchat.runtime.collector import collector_paused
from favchat.runtime.environment import LOCAL_RAY, TELEMETRY_OFF
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE

# One thread is faster for tensors as small as these, and leaves the other CPUs to Ray's workers.
torch.set_num_threads(1)

# Ray Train looks for reports twice a second: much of the time of trainings as short as these. Set before any Ray
# starts, here and in the commands that tests run.
os.environ |= TELEMETRY_OFF | LOCAL_RAY | {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}


def _free_port() -> int:
    """A port below the range from which the system gives ports to whoever asks for any: it stays free."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


# Ray's processes take these over from the one that starts Ray: where the S3 server of the `s3` fixture will listen.
S3_PORT = _free_port()
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{S3_PORT}",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


STARTS_RAY = {"ray_session", "cluster"}
"""Fixtures that start Ray; a test that takes one, also by way of another fixture, is marked with ``ray``."""


LONGEST = [
    "tune/test_sweep.py",
    "jobs/pipeline/test_kills.py",
    "training/test_curriculum.py",
    "tune/test_population.py",
    "jobs/test_quickstart.py",
    "evaluation/test_ablations.py",
    "data/prepare/test_pipeline.py",
    "jobs/test_node_faults.py",
    "jobs/test_prepare.py",
]
"""Files that take three quarters of a minute or more, the longest first."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import the tests with the garbage collector at rest."""
    with collector_paused():
        return (yield)


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Collect a file's garbage, and take what is left out of the collector's sight: what tests import stays.

    Otherwise it would look at a million objects again and again; and so rarely for their number that actors of Ray
    which only garbage refers to kept their CPUs. Its thresholds stay as they are: what a test makes is looked at often.
    """
    yield
    gc.collect()
    gc.freeze()
    gc.collect()  # when it looks at everything depends on how much it saw the last time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need Ray or a browser, and run the longest files first, then the others with Ray.

    So what two processes do last is small, and both end at about the same time.
    """
    turns = {Path(__file__).parent / name: turn for turn, name in enumerate(LONGEST)}
    assert all(path.is_file() for path in turns), "LONGEST names a file that is gone"
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & STARTS_RAY:
            item.add_marker(pytest.mark.ray)
        if "browser" in fixtures:
            item.add_marker(pytest.mark.slow)
    files = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: (turns.get(item.path, len(turns)), item.path not in files))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Gives the folder of a name, which a function fills: in one of pytest-xdist's workers for all of them."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def once(name: str, fill: Callable[[Path], None]) -> Path:
        folder, whole = root / name, root / f"{name}.whole"
        with FileLock(root / f"{name}.lock"):
            if not whole.exists():
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray of two CPUs for the whole run; a test that needs Ray takes this fixture and starts none itself."""
    import ray

    from favchat.runtime import ray_cluster
    from favchat.runtime.preload import preload_training

    own = RayConfig(address="local", num_cpus=2)
    preload_training(own)
    ray_cluster.start(own)
    yield
    ray.shutdown()


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of an empty bucket on an S3 server that runs as long as the test."""
    import s3fs
    from moto.server import ThreadedMotoServer

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


def open_store(path: Path) -> None:
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()


@pytest.fixture(scope="session")
def new_store(made_once) -> Callable[[Path], str]:
    """Makes an MLflow store at a path and gives its address.

    MLflow brings each new one through every version that its tables ever had, for seconds; here only the first.
    """
    first = made_once("store", lambda folder: open_store(folder / "mlflow.db")) / "mlflow.db"

    def copy(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(first)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        return f"sqlite:///{path}"

    return copy


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
def corpus(ray_session, centerface, new_store, made_once) -> Path:
    """The sample clips, prepared and annotated: a folder with shards, rejects and annotations. Not to be written to."""

    import jobs.annotate
    import jobs.prepare

    def prepare(out: Path) -> None:
        config = load(
            CONFIGS / "tiny.yaml",
            [
                "data.source.kind=celebv_hq",
                f"data.source.path={SAMPLE / 'clips'}",
                f"data.source.annotations={SAMPLE / 'annotations.json'}",
                f"data.out={out}",
                "data.frames.fps=4",
                "data.frames.max_frames=8",
                f"tracking.uri={new_store(out.with_name('corpus_tracking') / 'mlflow.db')}",
            ],
        )
        jobs.prepare.run(config)
        jobs.annotate.run(config)

    return made_once("corpus", prepare)
