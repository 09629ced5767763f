import socket
import subprocess
import sys
import time

import requests

from favchat.config import TrackingConfig
from favchat.tracking import BackgroundLog, Run, attempt, start_run


def test_runs_serves_mlflows_page_of_the_store_and_its_end_holds_no_training_up(store, monkeypatch, caplog):
    run = start_run(TrackingConfig(experiment="shown"), "run")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jobs.cli", "runs", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=shown"
            assert b'"name": "shown"' in fetch(address)
            log = BackgroundLog(Run(f"http://127.0.0.1:{port}", run.run_id, run.experiment_id))
            log.log_metrics({"loss": 1.0}, 1)
            deadline = time.monotonic() + 60
            while not run.client.get_metric_history(run.run_id, "loss"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait(60)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    began = time.monotonic()
    for step in range(2, 50):
        log.log_metrics({"loss": 1.0}, step)
    assert time.monotonic() - began < 1
    log.close()
    assert time.monotonic() - began < 20
    assert "training goes on" in caplog.text
    assert "48 records of run" in caplog.text
    assert len(run.client.get_metric_history(run.run_id, "loss")) == 1
    assert attempt("nothing is marked", Run(f"http://127.0.0.1:{port}", run.run_id, "0").finish) is None


def fetch(address: str) -> bytes:
    deadline = time.monotonic() + 240
    while True:
        try:
            return requests.get(address, timeout=10).content
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
