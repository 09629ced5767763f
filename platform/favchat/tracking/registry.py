"""The registry of finished models: versions, who is the champion, and where a version's directory lies."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from favchat.backbones import assets
from favchat.config import ConfigError, TrackingConfig
from favchat.tracking.store import tracking_uri
from favchat.tracking.stored_weights import store_model

if TYPE_CHECKING:
    from favchat.tracking.runs import Run

logger = logging.getLogger(__name__)

CHAMPION = "champion"
"""Alias of the best version of a registered model."""
CHALLENGER = "challenger"
"""Alias of the newest version that has not become the champion."""
METRIC = "metric"
"""Tag of a version: the name of the metric, itself a tag, by which versions are compared; smaller is better."""
DATA = "data_digest"
"""Tag of a version: which corpus that was measured on."""
WEIGHTS = "weights"
"""Tag of a version: the fingerprint of its model."""
SHARED = "weights"
"""In the folder of an experiment's artifacts: parts of models, see :mod:`favchat.tracking.stored_weights`."""


def register_model(
    run: Run, folder: str | Path, name: str, *, tags: Mapping[str, str] | None = None, description: str = ""
) -> str:
    """Log a model directory and make it the newest version of a registered model.

    It becomes the champion where it is better than the one before on the metric that both have recorded, on the
    same data, or where that has recorded none; else the challenger. The log says why.

    Args:
        run: The run that made it.
        folder: The model.
        name: Of the registered model.
        tags: Of the version; ``metric`` names the one by which versions are compared.
        description: Of the version.

    Returns:
        The version's name, such as ``models:/favchat-nano/3``.
    """
    client, tags = run.client, dict(tags or {})
    _log_model(run, Path(folder))
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = _version_with(run, name, tags.get(WEIGHTS))
    if version is None:
        source = f"{client.get_run(run.run_id).info.artifact_uri}/model"
        version = client.create_model_version(
            name, source, run_id=run.run_id, tags=tags, description=description
        ).version
    alias, reason = _rank(client, name, tags, version)
    client.set_registered_model_alias(name, alias, version)
    logger.warning("models:/%s/%s is the %s: %s", name, version, alias, reason)
    return f"models:/{name}/{version}"


def resolve_model(name: str, config: TrackingConfig | None = None) -> Path:
    """The directory of a registered model, which is downloaded once where the store lies on another machine.

    Args:
        name: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        config: Which store; by default the one of `tracking_uri`.

    Raises:
        ConfigError: The name has another form, or the registry has no such model.
    """
    found = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", name)
    if not found:
        raise ConfigError(f"{name}: a registered model is called models:/NAME@ALIAS or models:/NAME/VERSION")
    model, alias, number = found.groups()
    uri = tracking_uri(config or TrackingConfig())
    client = MlflowClient(tracking_uri=uri)
    try:
        version = client.get_model_version_by_alias(model, alias) if alias else client.get_model_version(model, number)
        source = client.get_model_version_download_uri(model, version.version)
    except MlflowException as error:
        there = ", ".join(known.name for known in client.search_registered_models()) or "none"
        raise ConfigError(
            f"{name}: no such model in the registry at {uri} ({error.message}); registered models: {there}"
        ) from error
    if is_local_uri(source):
        local = Path(local_file_uri_to_path(source))
        if not local.is_dir():
            raise ConfigError(f"{name}: its directory {local} is gone")
        return local
    target = assets.home() / "models" / f"{model}-{version.version}-{version.run_id}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=target.parent) as partial:
                os.replace(download_artifacts(artifact_uri=source, dst_path=partial, tracking_uri=uri), target)
    return target


def _version_with(run: Run, name: str, weights: str | None) -> str | None:
    """The version that a call which was broken off has made of the run's model; None where there is none."""
    found = run.client.search_model_versions(f"name = '{name}' and run_id = '{run.run_id}'") if weights else []
    return next((version.version for version in found if version.tags.get(WEIGHTS) == weights), None)


def _log_model(run: Run, folder: Path) -> None:
    """Log a model as ``model``; on a local disk weights that another version has too are not stored again."""
    uri = run.client.get_run(run.run_id).info.artifact_uri
    if not is_local_uri(uri):
        run.log_artifact(folder, "model")
        return
    target = Path(local_file_uri_to_path(uri)) / "model"
    shutil.rmtree(target, ignore_errors=True)
    everyone = run.client.get_experiment(run.experiment_id).artifact_location
    shared = Path(local_file_uri_to_path(everyone)) if is_local_uri(everyone) else target.parent
    store_model(folder, target, shared / SHARED)


def _rank(client: MlflowClient, name: str, tags: Mapping[str, str], version: str) -> tuple[str, str]:
    """The alias of a new version, and why."""
    try:
        held = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        return CHAMPION, "there was none"
    if str(held.version) == str(version):
        return CHAMPION, "it was already"
    metric, before = tags.get(METRIC), held.tags
    champion = f"version {held.version}"
    if before.get(METRIC) is None:
        return CHAMPION, f"{champion} has recorded no metric"
    if metric is None:
        return CHALLENGER, f"it has recorded no metric, and {champion} has {before[METRIC]}"
    if metric != before[METRIC]:
        return CHALLENGER, f"its {metric} cannot be compared with the {before[METRIC]} of {champion}"
    if tags.get(DATA) != before.get(DATA):
        return CHALLENGER, f"its {metric} was measured on other data than that of {champion}"
    mine, theirs = float(tags[metric]), float(before[metric])
    better = mine < theirs
    return CHAMPION if better else CHALLENGER, f"{metric} {mine:.4f} against {theirs:.4f} of {champion}"
