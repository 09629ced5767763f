"""Jobs on a cluster of their own, which asks for a token."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
import yaml

from favchat.config import ConfigError
from jobs.commands.settings import CONFIGS
from jobs.jobs_api import GOES_ON, INTERRUPTED
from jobs.submit import Options, run


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

    def command(self, *words: str, options: Sequence[str] = ()) -> list[str]:
        return [sys.executable, "-m", "jobs.cli", "submit", "--address", self.address, *options, "--", *words]

    def jobs(self, *words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "jobs.cli", "jobs", "--address", self.address, *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def follow(self, *words: str, cwd: Path, options: Sequence[str] = ()) -> subprocess.Popen:
        command = self.command(*words, options=options)
        return subprocess.Popen(command, env=self.environment, cwd=cwd, stdout=subprocess.PIPE, text=True)


class Cable:
    """A connection to a port that can be cut and mended."""

    def __init__(self, target: int):
        self._target, self._open = target, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._whole = threading.Event()
        self._whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole.clear()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def mend(self) -> None:
        self._whole.set()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            if not self._whole.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass_on(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


def id_of(line: str) -> str:
    return line.split()[1].rstrip(":")


@pytest.fixture(scope="module")
def cluster():
    """A head node with its jobs API, token authentication and ports of its own, so that other clusters don't matter."""
    dashboard, agent, client = free_ports(3)
    # Sockets lie below it, whose names must not be long.
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
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
    done = cluster.submit("favchat", "annotate", "tiny", "data.out=/nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "run `favchat prepare` first" in done.stdout
    assert "ended with status 2" in done.stdout


SLEEP = ("python", "-uc", "import time; print('awake'); time.sleep(300)")


def test_ctrl_c_leaves_the_job_and_a_second_one_stops_it(cluster, tmp_path):
    with cluster.follow(*SLEEP, cwd=tmp_path) as process:
        left = id_of(next(line for line in process.stdout if line.startswith("submitted")))
        assert any("awake" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == GOES_ON
        assert f"favchat jobs attach {left} --address {cluster.address}" in process.stdout.read()
    assert f"{left}: running" in cluster.jobs("status", left).stdout

    command = [sys.executable, "-m", "jobs.cli", "jobs", "attach", left, "--address", cluster.address]
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, text=True) as process:
        assert any("awake" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert any("Ctrl-C again" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == INTERRUPTED
    assert f"{left}: stopped" in cluster.jobs("status", left).stdout


WAIT = """
import os, sys, time
print("before", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.1)
print("after", flush=True)
sys.exit(7)
"""


def test_a_broken_connection_is_tried_again_and_the_log_goes_on(cluster, tmp_path):
    cable = Cable(int(cluster.address.rpartition(":")[2]))
    far = Cluster(cable.address, cluster.environment)
    with far.follow("python", "-c", WAIT, str(tmp_path / "go"), cwd=tmp_path) as process:
        assert any(line == "before\n" for line in process.stdout)
        cable.cut()
        assert any("the connection broke" in line for line in process.stdout)
        cable.mend()
        (tmp_path / "go").touch()
        rest = process.stdout.read()
        assert process.wait(60) == 7
    assert rest.count("after\n") == 1
    assert "before\n" not in rest


def test_where_the_connection_stays_broken_the_job_goes_on_and_can_be_attached_to(cluster, tmp_path):
    cable = Cable(int(cluster.address.rpartition(":")[2]))
    far = Cluster(cable.address, cluster.environment)
    with far.follow("python", "-c", WAIT, str(tmp_path / "go"), cwd=tmp_path, options=["--reconnect", "1"]) as process:
        job = id_of(next(line for line in process.stdout if line.startswith("submitted")))
        assert any(line == "before\n" for line in process.stdout)
        cable.cut()
        said = process.stdout.read()
        assert process.wait(60) == GOES_ON
    assert f"favchat jobs attach {job}" in said
    (tmp_path / "go").touch()
    done = cluster.jobs("attach", job)
    assert done.returncode == 7
    assert "before\nafter\n" in done.stdout


def test_a_job_that_nobody_waits_for_has_its_name_metadata_and_variables(cluster, tmp_path):
    environment = cluster.environment | {"HF_ENDPOINT": "http://hub.example", "OTHER_SECRET": "s2"}
    (tmp_path / "env.yaml").write_text("env_vars: {FROM_FILE: three}\n")
    options = ["--no-wait", "--name", "night", "--metadata", "project=faces", "--env", "SECRET=s1", "--env"]
    options += ["OTHER_SECRET", "--forward", "hub", "--runtime-env", "env.yaml", "--entrypoint-num-cpus", "1"]
    names = ("SECRET", "OTHER_SECRET", "HF_ENDPOINT", "FROM_FILE")
    code = f"import os; print([os.environ[name] for name in {names}])"
    command = cluster.command("python", "-c", code, options=options)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    job = id_of(done.stdout)
    assert job.startswith("night-")
    assert cluster.jobs("attach", job).returncode == 0
    assert "['s1', 's2', 'http://hub.example', 'three']" in cluster.jobs("logs", job).stdout
    status = cluster.jobs("status", job).stdout
    assert f"{job}: succeeded" in status and "project: faces" in status and "name: night" in status
    newest = cluster.jobs().stdout.splitlines()[1]
    assert newest.startswith(job) and "SUCCEEDED" in newest
    # The dashboard's own requests are a browser's: Ray names the variables there and hides their values.
    headers = {"Authorization": f"Bearer {cluster.environment['RAY_AUTH_TOKEN']}", "User-Agent": "Mozilla/5.0"}
    shown = requests.get(f"{cluster.address}/api/jobs/{job}", headers=headers, timeout=10)
    assert shown.ok and "OTHER_SECRET" in shown.text
    assert not {"s1", "s2", "three"} & set(re.findall(r"\w+", shown.text + status))


def test_a_job_that_is_not_there_is_one_message(cluster):
    for words in (("status", "nothing"), ("attach", "nothing")):
        done = cluster.jobs(*words)
        assert done.returncode == 2
        assert "nothing: the cluster has no such job" in done.stderr


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
        run(["favchat", "assets"], Options(address=f"http://127.0.0.1:{port}"))


def test_no_command_is_refused():
    with pytest.raises(ConfigError, match="nothing to submit"):
        run([])
