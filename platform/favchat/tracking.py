"""MLflow: where runs are kept, and a run's metrics, parameters and artifacts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis

from favchat import assets
from favchat.config import TrackingConfig


@dataclass(frozen=True)
class Run:
    """One MLflow run, by address and id: small enough to travel to a worker."""

    uri: str
    run_id: str
    experiment_id: str

    @property
    def client(self) -> MlflowClient:
        """A client of the run's store."""
        return MlflowClient(tracking_uri=self.uri)

    def child(self, name: str) -> Run:
        """Start a run below this one."""
        return _create(self.client, self.uri, self.experiment_id, name, {MLFLOW_PARENT_RUN_ID: self.run_id})

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Log a nested mapping as dotted parameters."""
        params = [Param(key, str(value)) for key, value in flatten(settings).items()]
        for begin in range(0, len(params), 100):  # the limit of one call
            self.client.log_batch(self.run_id, params=params[begin : begin + 100])

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log the values of one step."""
        now = get_current_time_millis()
        self.client.log_batch(self.run_id, metrics=[Metric(key, value, now, step) for key, value in values.items()])

    def log_artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Log a file or a folder."""
        if Path(path).is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def finish(self, status: str = "FINISHED") -> None:
        """End the run, as ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self.client.set_terminated(self.run_id, status)


def start_run(config: TrackingConfig, name: str, tags: Mapping[str, str] | None = None) -> Run:
    """Start a top-level run.

    Called by the driver before any worker: creating an sqlite store from several processes at once breaks it.
    """
    uri = tracking_uri(config)
    client = MlflowClient(tracking_uri=uri)
    return _create(client, uri, _experiment(client, uri, config.experiment), name, dict(tags or {}))


def tracking_uri(config: TrackingConfig) -> str:
    """The store's address: the setting, else MLFLOW_TRACKING_URI, else an sqlite file below FAVCHAT_HOME."""
    return config.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_local_store() / 'mlflow.db'}"


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings and lists into dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            flat |= flatten({str(index): item for index, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A local store would put artifacts into the working directory of whoever runs it.
    place = (_local_store() / "artifacts").as_uri() if uri == f"sqlite:///{_local_store() / 'mlflow.db'}" else None
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException:
        # Another driver was faster.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _create(client: MlflowClient, uri: str, experiment_id: str, name: str, tags: dict[str, str]) -> Run:
    run = client.create_run(experiment_id, tags={MLFLOW_RUN_NAME: name, **tags}, run_name=name)
    return Run(uri, run.info.run_id, experiment_id)


def _local_store() -> Path:
    folder = assets.home() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
