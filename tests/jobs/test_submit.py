"""Jobs on a cluster of their own, which asks for a token."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from ray.job_submission import JobStatus

from favchat.config import ConfigError
from jobs.cli import CONFIGS
from jobs.submit import pack, run


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Cluster:
    """A cluster's address and the environment that reaches it."""

    def __init__(self, address: str, environment: dict[str, str]):
        self.address = address
        self.environment = environment

    def submit(self, *words: str, cwd: Path) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*words), env=self.environment, cwd=cwd, capture_output=True, text=True)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "jobs.cli", "submit", "--address", self.address, "--", *words]


@pytest.fixture(scope="module")
def cluster():
    """A head node with its jobs API, token authentication and ports of its own, so that other clusters don't matter."""
    dashboard, agent, client = free_ports(3)
    # Sockets lie below it, whose names must not be long.
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # noqa: S108
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_enable_metrics_collection": "0",
    }
    options = {
        "port": 0,
        "node-ip-address": "127.0.0.1",
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "ray-client-server-port": client,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 1,
        "temp-dir": folder,
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    log = Path(folder) / "start.log"
    with log.open("w") as file:
        head = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in options.items())],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for port in (dashboard, agent):
            wait_for(port, head, log)
        yield Cluster(f"http://127.0.0.1:{dashboard}", environment)
    finally:
        head.terminate()
        head.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, head: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and head.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail(f"the cluster did not start: {log.read_text()[-2000:]}")


WHERE = """
import os, ray, tune
ray.init()
@ray.remote
def place():
    import tune
    return tune.__file__
print("driver", tune.__file__)
print("worker", ray.get(place.remote()))
print("revision", os.environ.get("FAVCHAT_REVISION"))
"""


def test_driver_and_workers_run_the_shipped_code(cluster, tmp_path):
    cluster.environment["FAVCHAT_REVISION"] = "abc123"
    done = cluster.submit("python", "-c", WHERE, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("driver", "worker", "rev")))
    for side in ("driver", "worker"):
        assert "py_modules_files" in said[side]
    assert said["revision"] == "abc123"


def test_a_job_is_followed_to_its_end_with_the_configuration_it_names(cluster, tmp_path, corpus, new_store):
    out = tmp_path / "out"
    out.mkdir()
    shutil.copytree(corpus / "shards", out / "shards")
    settings = yaml.safe_load((CONFIGS / "tiny.yaml").read_text()) | {"annotate": {"questions_per_clip": 3}}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.yaml").write_text(yaml.safe_dump(settings))
    store = new_store(tmp_path / "mlflow.db")
    done = cluster.submit(
        "favchat", "annotate", "configs/mine.yaml", f"data.out={out}", f"tracking.uri={store}", cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "python -m jobs.cli annotate mine.yaml" in done.stdout
    assert "annotated 23 of 23 clips" in done.stdout
    assert len(list((out / "annotations").glob("*.parquet"))) == 1


def test_a_failing_command_ends_with_its_own_status(cluster, tmp_path):
    done = cluster.submit("favchat", "annotate", "tiny", "data.out=nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "run `favchat prepare` first" in done.stdout
    assert "ended with status 2" in done.stdout


def test_ctrl_c_stops_the_job(cluster, tmp_path, monkeypatch):
    command = cluster.command("python", "-uc", "import time; print('awake'); time.sleep(300)")
    with subprocess.Popen(command, env=cluster.environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        job = next(line for line in process.stdout if line.startswith("submitted")).split()[1].rstrip(":")
        assert any("awake" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    code = "import sys; from jobs.submit import connect; print(connect(sys.argv[1]).get_job_status(sys.argv[2]).value)"
    done = subprocess.run(
        [sys.executable, "-c", code, cluster.address, job], env=cluster.environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == JobStatus.STOPPED.value


def test_without_the_token_nothing_runs(cluster, tmp_path):
    stranger = Cluster(cluster.address, cluster.environment | {"RAY_AUTH_TOKEN": "0" * 64})
    done = stranger.submit("favchat", "assets", cwd=tmp_path)
    assert done.returncode == 2
    assert "no jobs API" in done.stderr
    assert "token" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_cluster_is_one_message(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://elsewhere:8265")
    (port,) = free_ports(1)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://elsewhere:8265")
    with pytest.raises(ConnectionError, match=rf"no jobs API at http://127.0.0.1:{port}.*\n.*--address"):
        run(["favchat", "train"], address=f"http://127.0.0.1:{port}")


def test_no_command_is_refused():
    with pytest.raises(ConfigError, match="nothing to submit"):
        run([])


def test_only_existing_yaml_files_travel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("a/one.yaml").write_text("seed: 1\n")
    Path("notes.txt").write_text("hello\n")
    folder = tmp_path / "files"
    folder.mkdir()
    words = pack(["favchat", "train", "a/one.yaml", "notes.txt", "training.init=two.yaml", "three.yaml"], folder)
    assert words == [
        "python",
        "-m",
        "jobs.cli",
        "train",
        "one.yaml",
        "notes.txt",
        "training.init=two.yaml",
        "three.yaml",
    ]
    assert [path.name for path in folder.iterdir()] == ["one.yaml"]
    assert pack(["python", "x.py"], folder) == ["python", "x.py"]


def test_two_files_of_one_name_are_refused(tmp_path):
    for name, text in (("a", "seed: 1\n"), ("b", "seed: 2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(text)
    folder = tmp_path / "files"
    folder.mkdir()
    with pytest.raises(ConfigError, match="rename one of them"):
        pack(["diff", str(tmp_path / "a" / "x.yaml"), str(tmp_path / "b" / "x.yaml")], folder)
