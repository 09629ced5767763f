from favchat.config import TrackingConfig
from favchat.tracking import start_run, tracking_uri


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


def test_runs_of_a_server_are_named_by_its_address():
    import jobs.runs

    said = []
    jobs.runs.run(TrackingConfig(uri="http://tracker:5000"), say=said.append)
    assert said == ["runs are kept by the MLflow server at http://tracker:5000"]
