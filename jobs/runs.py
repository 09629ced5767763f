"""Open MLflow's page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from mlflow.tracking import MlflowClient

from favchat.config import ConfigError, TrackingConfig
from favchat.runtime.ports import listen_error
from favchat.tracking import tracking_uri


def run(config: TrackingConfig, *, port: int = 5000, say: Callable[[str], None] = print) -> None:
    """Serve the store's page on this machine until Ctrl-C; of a store that is a server only the address is said.

    Args:
        config: Which store.
        port: Where the page listens, on 127.0.0.1 alone.
        say: Gets the address.

    Raises:
        ConfigError: The port is taken.
        OSError: The page cannot be served; MLflow has said why.
    """
    uri = tracking_uri(config)
    if uri.startswith(("http://", "https://")):
        say(f"runs are kept by the MLflow server at {uri}")
        return
    fault = listen_error("127.0.0.1", port)
    if fault:
        raise ConfigError(f"--port {port}: cannot listen there ({fault}); choose another")
    # Create a new store here, because concurrent creation by the server's processes would conflict.
    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    say(f"MLflow shows {uri} at http://127.0.0.1:{port} (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    # Without the processes that judge traces of language models, of which there are none here: each of them imports
    # MLflow, 16 CPU seconds in all.
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    # MLflow starts processes of its own; in a session of theirs they can be ended together.
    command += ["--port", str(port), "--workers", "1"]
    server = subprocess.Popen(command, start_new_session=True, env=environment)
    ended = False

    def end(*_: Any) -> None:
        nonlocal ended
        ended = True
        os.killpg(server.pid, signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    status = server.wait()
    if status and not ended:
        raise OSError(f"mlflow ui ended with status {status}; is port {port} free? Choose another with --port")
