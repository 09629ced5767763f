import pytest

from favchat.config import TrackingConfig
from favchat.tracking import flatten, start_run, tracking_uri


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FAVCHAT_HOME", str(tmp_path))
    return tmp_path


def test_a_run_keeps_parameters_metrics_artifacts_and_its_children(store, tmp_path):
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
    assert (store / "mlflow" / "mlflow.db").is_file()
    assert not (store / "mlruns").exists()


def test_many_parameters_are_logged_in_batches(store):
    run = start_run(TrackingConfig(), "many")
    run.log_params({f"key{index}": index for index in range(250)})
    assert len(run.client.get_run(run.run_id).data.params) == 250


def test_the_address_comes_from_the_setting_then_the_environment(store, monkeypatch):
    assert tracking_uri(TrackingConfig()) == f"sqlite:///{store}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert tracking_uri(TrackingConfig()) == "http://tracker:5000"
    assert tracking_uri(TrackingConfig(uri="sqlite:///other.db")) == "sqlite:///other.db"


def test_flatten_keeps_plain_lists_whole():
    assert flatten({"a": {"b": [1, 2]}, "c": {}, "d": None}) == {"a.b": [1, 2], "c": {}, "d": None}
