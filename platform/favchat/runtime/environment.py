"""Environment variables that suppress the libraries' output and usage reports, and extend their timeouts."""

from __future__ import annotations

import logging
import os

TELEMETRY_OFF = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Since version 1.29 it reports each network that it loads, and its thread for that ends no process that was forked.
    "ORT_DISABLE_TELEMETRY": "1",
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
    # The bars of transformers, which show where the other setting is not asked: a GGUF file is unpacked.
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

CALM = {"OMP_WAIT_POLICY": "PASSIVE"}
"""By default torch's threads wait for each other in a loop, which beside other work wastes CPU time: a step on two
threads took 1.1 to 1.8 s of it in place of 0.64 s. Read when torch is imported."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "HF_HUB_ETAG_TIMEOUT": "5"}
"""By default MLflow's client tries for minutes before it says that a server is gone, and the hub's for half a one."""

LOCAL_RAY = {
    # It ends idle workers after a second. The tasks that write shards come seconds apart, and each would pay for a new
    # process that imports everything: 2.5 s.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # It tries 10 times, a second apart, to connect to the object store that it starts at the same moment. The first
    # try comes too early.
    "RAY_raylet_client_connect_timeout_milliseconds": "50",
    "RAY_raylet_client_num_connect_attempts": "200",
    # Each of a process's threads, of which Ray has some forty, would get a heap of its own, which keeps as much as was
    # ever in it. The C library reads this when a process starts.
    "MALLOC_ARENA_MAX": "2",
    # A process that asks whether the machine is about to be taken away, as clouds do with the nodes of a cluster.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # It looks every two seconds whether the workers are done; a stage ends so much later.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}
"""Settings of Ray on one machine."""


def quiet_environment(*, verbose: bool = False) -> None:
    """Switch off the libraries' usage reports, empty chatter and busy waiting, for this process and its children.

    Args:
        verbose: Leave the libraries' own messages on.
    """
    for name, value in (TELEMETRY_OFF | ({} if verbose else QUIET) | CALM | PATIENCE).items():
        os.environ.setdefault(name, value)
    if not verbose:
        logging.getLogger("DeepSpeed").addFilter(_worth_saying)


def _worth_saying(record: logging.LogRecord) -> bool:
    """Whether a message of DeepSpeed is one: that there is no GPU, everybody knows who has none."""
    return "Setting accelerator to CPU" not in record.getMessage()
