"""Ray: reach a cluster or start a local one."""

from __future__ import annotations

import logging
import os
from typing import Any

import ray

from favchat.config import RayConfig

TELEMETRY_OFF = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Settings that keep the libraries from reporting usage; a value that the user has set stays."""

QUIET = {
    # Ray's metrics agent warns once a second when no dashboard collects them.
    "RAY_enable_metrics_collection": "0",
    # Ray 2.60 announces a coming default here; both values mean the same for workers without GPUs.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

CALM = {"OMP_WAIT_POLICY": "PASSIVE"}
"""By default torch's threads wait for each other in a loop, which beside other work wastes CPU time: a step on two
threads took 1.1 to 1.8 s of it in place of 0.64 s. Read when torch is imported."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""By default MLflow's client tries for minutes before it says that a server is gone."""


KEEP_WORKERS = {"RAY_idle_worker_killing_time_threshold_ms": "60000"}
"""A local Ray ends idle workers after a second. The tasks that write shards come seconds apart, and each would pay for
a new process that imports everything: 2.5 s."""


def quiet_environment() -> None:
    """Switch off the libraries' usage reports, empty chatter and busy waiting, for this process and its children."""
    for name, value in (TELEMETRY_OFF | QUIET | CALM | PATIENCE).items():
        os.environ.setdefault(name, value)


def start(config: RayConfig, *, dashboard: bool = False) -> None:
    """Connect to the cluster of the ``ray`` section or start a local one; do nothing where Ray already runs.

    Args:
        config: The ``ray`` section.
        dashboard: Whether a local cluster gets Ray's dashboard, and the state and jobs APIs that come with it.

    Raises:
        ConnectionError: No cluster answers at the address.
    """
    if ray.is_initialized():
        return
    quiet_environment()
    address = config.address or os.environ.get("RAY_ADDRESS")
    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        ray.init(address=address, **common)
    else:
        for name, value in KEEP_WORKERS.items():
            os.environ.setdefault(name, value)
        hook = {"worker_process_setup_hook": "favchat.cluster.name_cluster"} if dashboard else None
        ray.init(address="local", num_cpus=config.num_cpus, include_dashboard=dashboard, runtime_env=hook, **common)


def name_cluster() -> None:
    """Tell Ray's state API in this worker which cluster it belongs to.

    It looks for one by itself otherwise, and takes any where several run on a machine: Ray Train then never learns that
    a stopped trial is gone, and keeps its CPUs.
    """
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
