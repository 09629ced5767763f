"""Where runs and models are kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from favchat.backbones import assets
from favchat.config import TrackingConfig

logger = logging.getLogger(__name__)

T = TypeVar("T")


def tracking_uri(config: TrackingConfig) -> str:
    """The store's address: the setting, else MLFLOW_TRACKING_URI, else an sqlite file below FAVCHAT_HOME."""
    return config.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_local_store() / 'mlflow.db'}"


def attempt(doing: str, work: Callable[[], T]) -> T | None:
    """Do something with the store that nobody needs to go on; where it fails, warn and return None."""
    try:
        return work()
    except (MlflowException, OSError) as error:
        logger.warning("%s: %s", doing, error)
        return None


def create_store(config: TrackingConfig) -> None:
    """Make an sqlite store where there is none yet, which takes two seconds: for callers that have them to spare."""
    uri = tracking_uri(config)
    if uri.startswith("sqlite:"):
        with suppress(MlflowException, OSError):  # whoever writes to it is told
            experiment_id(MlflowClient(tracking_uri=uri), uri, config.experiment)


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The id of an experiment, which is made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # By default an sqlite store puts artifacts into the working directory of whoever runs it.
    database = uri.removeprefix("sqlite:///")
    place = (Path(database).absolute().parent / "artifacts").as_uri() if database != uri else None
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException:
        # Another driver was faster.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _local_store() -> Path:
    folder = assets.home() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
