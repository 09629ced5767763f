import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

import favchat.tracking
from favchat.config import ConfigError, TrackingConfig
from favchat.hub.load import load as load_model
from favchat.tracking import (
    CHALLENGER,
    CHAMPION,
    DATA,
    METRIC,
    BackgroundLog,
    Run,
    attempt,
    git_revision,
    resolve_model,
    start_run,
    tracking_uri,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder in which the default store will lie."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FAVCHAT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def store(home, new_store):
    """The same, with the store."""
    new_store(home / "mlflow" / "mlflow.db")
    return home


def test_a_run_keeps_parameters_metrics_artifacts_and_its_children(home, tmp_path):
    run = start_run(TrackingConfig(experiment="faces"), "parent")
    run.log_params({"model": {"stages": [{"steps": 3}, {"steps": 5}]}, "seed": 1})
    child = run.child("stage")
    for step in (1, 2):
        child.log_metrics({"loss": 1.0 / step}, step)
    note = tmp_path / "note.txt"
    note.write_text("hello")
    child.log_artifact(note)
    child.finish()
    run.finish("FAILED")

    client = run.client
    stored = client.get_run(run.run_id)
    assert stored.data.params == {"model.stages.0.steps": "3", "model.stages.1.steps": "5", "seed": "1"}
    assert stored.info.status == "FAILED"
    assert [metric.value for metric in client.get_metric_history(child.run_id, "loss")] == [1.0, 0.5]
    assert client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == run.run_id
    assert [artifact.path for artifact in client.list_artifacts(child.run_id)] == ["note.txt"]
    assert (home / "mlflow" / "mlflow.db").is_file()
    assert not (home / "mlruns").exists()


def test_many_parameters_are_logged_in_batches(store):
    run = start_run(TrackingConfig(), "many")
    run.log_params({f"key{index}": index for index in range(250)})
    assert len(run.client.get_run(run.run_id).data.params) == 250


def test_the_address_comes_from_the_setting_then_the_environment(home, monkeypatch):
    assert tracking_uri(TrackingConfig()) == f"sqlite:///{home}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert tracking_uri(TrackingConfig()) == "http://tracker:5000"
    assert tracking_uri(TrackingConfig(uri="sqlite:///other.db")) == "sqlite:///other.db"


def test_artifacts_of_an_sqlite_store_lie_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = start_run(TrackingConfig(uri=f"sqlite:///{tmp_path}/elsewhere/runs.db"), "run")
    run.client.log_text(run.run_id, "hello", "note.txt")
    assert [path.name for path in (tmp_path / "elsewhere").rglob("note.txt")] == ["note.txt"]
    assert not (tmp_path / "mlruns").exists()


def test_children_that_a_dead_process_left_running_are_ended(store):
    run = start_run(TrackingConfig(), "parent")
    finished, running = run.child("finished"), run.child("running")
    below = running.child("stage")
    finished.finish()
    run.end_children()
    states = [run.client.get_run(each.run_id).info.status for each in (finished, running, below, run)]
    assert states == ["FINISHED", "KILLED", "KILLED", "RUNNING"]


def test_children_that_were_stopped_do_not_count_as_failed(store):
    run = start_run(TrackingConfig(), "parent")
    stopped, failed, finished = (run.child(name) for name in ("stopped", "failed", "finished"))
    for child, status in ((stopped, "FAILED"), (failed, "FAILED"), (finished, "FINISHED")):
        child.finish(status)
    run.end_children(not_failed=["stopped", "finished"])
    states = [run.client.get_run(each.run_id).info.status for each in (stopped, failed, finished)]
    assert states == ["KILLED", "FAILED", "FINISHED"]


@pytest.fixture
def registered(store, tiny, tmp_path):
    """Two versions of a registered model; the second one's config.json differs."""
    model, processor = tiny
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    run = start_run(TrackingConfig(), "train")
    names = [run.register_model(folder, "faces")]
    (folder / "second").write_text("")
    run = start_run(TrackingConfig(), "train")
    names.append(run.register_model(folder, "faces"))
    shutil.rmtree(folder)
    return names


def test_the_newest_version_is_the_champion(registered):
    assert registered == ["models:/faces/1", "models:/faces/2"]
    champion = resolve_model(f"models:/faces@{CHAMPION}")
    assert champion == resolve_model("models:/faces/2")
    assert (champion / "second").exists()
    assert not (resolve_model("models:/faces/1") / "second").exists()


def test_a_registered_model_loads_by_its_name(registered, tiny):
    model, processor = load_model("models:/faces@champion")
    name = "model.adapter.out_proj.weight"
    assert model.get_parameter(name).equal(tiny[0].get_parameter(name))
    assert processor.num_frames == tiny[1].num_frames


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("models:/faces", "models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/faces/newest", "models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/faces/9", "no such model in the registry.*registered models: faces"),
        ("models:/faces@loser", "no such model in the registry.*registered models: faces"),
        ("models:/nobody@champion", "no such model in the registry.*registered models: faces"),
    ],
)
def test_a_model_that_is_not_registered_is_named(registered, name, message):
    with pytest.raises(ConfigError, match=message):
        resolve_model(name)


def test_a_registered_directory_that_is_gone_is_named(registered):
    shutil.rmtree(resolve_model("models:/faces/1"))
    with pytest.raises(ConfigError, match="is gone"):
        resolve_model("models:/faces/1")


def test_a_model_of_another_machine_is_downloaded_once(registered, store, monkeypatch):
    downloads = []

    def download(**where):
        downloads.append(where["artifact_uri"])
        return shutil.copytree(local, Path(where["dst_path"]) / "model")

    local = resolve_model("models:/faces/2")
    monkeypatch.setattr(favchat.tracking, "is_local_uri", lambda uri: False)
    monkeypatch.setattr(favchat.tracking, "download_artifacts", download)
    found = [resolve_model("models:/faces@champion") for _ in range(2)]
    assert len(downloads) == 1
    assert found[0] == found[1] != local
    assert found[0].is_relative_to(store / "models")
    assert (found[0] / "config.json").read_text() == (local / "config.json").read_text()


def test_the_revision_is_the_checkouts_commit(tmp_path, monkeypatch, store):
    monkeypatch.delenv("FAVCHAT_REVISION", raising=False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    file = tmp_path / "tracking.py"
    file.write_text("")
    monkeypatch.setattr(favchat.tracking, "__file__", str(file))
    assert git_revision() is None
    subprocess.run([*git, "add", "tracking.py"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert git_revision() == commit
    run = start_run(TrackingConfig(), "run")
    assert run.client.get_run(run.run_id).data.tags["mlflow.source.git.commit"] == commit
    file.write_text("changed")
    assert git_revision() == f"{commit}-dirty"
    monkeypatch.setenv("FAVCHAT_REVISION", "shipped")
    assert git_revision() == "shipped"


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


def test_runs_of_a_server_are_named_by_its_address():
    import jobs.runs

    said = []
    jobs.runs.run(TrackingConfig(uri="http://tracker:5000"), say=said.append)
    assert said == ["runs are kept by the MLflow server at http://tracker:5000"]


def test_the_champion_is_the_better_version_and_the_log_says_why(store, tmp_path, caplog):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"x" * 1000)

    def register(**tags):
        tags = {METRIC: "val_loss", DATA: "a"} | {key: str(value) for key, value in tags.items()}
        caplog.clear()
        run = start_run(TrackingConfig(), "train")
        return run.register_model(folder, "ranked", tags=tags), caplog.text

    client = start_run(TrackingConfig(), "look").client
    assert "champion: there was none" in register(val_loss=2.0)[1]
    assert "challenger: val_loss 3.0000 against 2.0000 of version 1" in register(val_loss=3.0)[1]
    assert "champion: val_loss 1.0000 against 2.0000 of version 1" in register(val_loss=1.0)[1]
    assert "challenger: its val_loss was measured on other data" in register(val_loss=0.5, **{DATA: "b"})[1]
    assert "challenger: its uar cannot be compared" in register(uar=0.5, **{METRIC: "uar"})[1]
    aliases = client.get_registered_model("ranked").aliases
    assert {name: int(version) for name, version in aliases.items()} == {CHAMPION: 3, CHALLENGER: 5}
    assert client.get_model_version("ranked", "3").tags["val_loss"] == "1.0"


def test_a_registered_models_weights_are_not_stored_twice(registered_folder):
    folder, stored = registered_folder
    assert (stored / "weights").samefile(folder / "weights")
    (folder / "weights").unlink()
    assert (stored / "weights").read_bytes() == b"x" * 1000


@pytest.fixture
def registered_folder(store, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"x" * 1000)
    return folder, resolve_model(start_run(TrackingConfig(), "train").register_model(folder, "linked"))


def test_a_corpus_is_an_input_with_its_digest_and_split(store):
    run = start_run(TrackingConfig(), "train")
    run.log_dataset("/data/corpus", "0123", "val", "validation")
    (found,) = run.client.get_run(run.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("corpus/val", "0123")
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "validation")]
