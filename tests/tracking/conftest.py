import pytest


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
