from mlflow.tracking import MlflowClient

from favchat.config import TrackingConfig
from favchat.tracking import create_store, start_run, tracking_uri


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


def test_a_store_is_made_once_and_one_that_cannot_be_is_left_to_who_needs_it(tmp_path):
    database = tmp_path / "made.db"
    for _ in range(2):
        create_store(TrackingConfig(uri=f"sqlite:///{database}", experiment="faces"))
    assert MlflowClient(f"sqlite:///{database}").get_experiment_by_name("faces") is not None
    create_store(TrackingConfig(uri=f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}"))
    create_store(TrackingConfig(uri="http://127.0.0.1:9"))
