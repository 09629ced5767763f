"""Serves a trained model on the cluster that runs already."""

from __future__ import annotations

import json
from pathlib import Path

from favchat.config import Config, ConfigError
from favchat.runtime.ray_address import address_of
from jobs.pipeline.register import check as check_requirements
from jobs.pipeline.register import evaluation_metrics


def check(config: Config) -> None:
    """Whether a model can be deployed at all, before hours of work.

    Raises:
        ConfigError: There is no cluster that stays, no place for uploads, or the network may ask without a key.
    """
    if address_of(config.ray) is None:
        raise ConfigError("pipeline.deploy: a local Ray ends with this command; give ray.address, or submit it")
    if config.serve.store is None:
        raise ConfigError("pipeline.deploy needs serve.store=..., a folder that all nodes see and that stays")
    import serve.app

    serve.app.refuse_open_door(config.serve)


def deploy(config: Config) -> str:
    """Deploy the model of ``training.out`` in place of what the application served before.

    A registered model that did not become the champion is not deployed.

    Returns:
        What was done.

    Raises:
        RequirementError: The evaluation falls short of ``pipeline.require``.
        ConfigError: As :func:`check`, or the cluster can never place the replicas.
    """
    import serve.app
    from favchat.runtime import ray_cluster

    check(config)
    if config.pipeline.require:  # also where the step `register` was left out
        check_requirements(config, evaluation_metrics(config.evaluation.out or ""))
    model, other = _registered(config)
    if other:
        return f"not deployed: {other}"
    served = config.model_copy(update={"serve": config.serve.model_copy(update={"model": model})})
    stored = serve.app.resolve_config(served)
    ray_cluster.start(config.ray, demands=serve.app.demands(config.serve))
    return f"serving {model} as '{config.serve.name}' at {serve.app.deploy(stored)}"


def _registered(config: Config) -> tuple[str, str]:
    """The model's name, and why it should not be served: empty where it should."""
    out = Path(config.training.out or "")
    name, record = config.tracking.registered_model, out / "registered.json"
    if name is None or not record.is_file():
        return str((out / "model").absolute()), ""
    from mlflow.tracking import MlflowClient

    from favchat.tracking import CHAMPION, tracking_uri

    version = json.loads(record.read_text())["version"]
    best = MlflowClient(tracking_uri=tracking_uri(config.tracking)).get_model_version_by_alias(name, CHAMPION)
    champion = f"models:/{name}/{best.version}"
    return version, "" if champion == version else f"{version} is not better than the champion, {champion}"
