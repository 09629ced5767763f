"""Starts a Ray of this machine's own, without the processes that only clusters of machines need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
from ray._private import parameter, services

from favchat.runtime import fork_server, worker_setup

LEAN: dict[str, Any] = {
    "no_monitor": True,
    "include_log_monitor": False,
    "dashboard_agent_listen_port": 0,
    "setup_worker_path": worker_setup.__file__,
}
"""Parameters of Ray that `ray.init` does not offer: no autoscaler, which has nothing to scale; no reader of the
workers' logs, which nobody asks for; any free port for the agent. Where another Ray has the usual port, the agent tries
for 3.4 s to get it, and Ray waits for it. Workers start by a script that does not import Ray first."""


def start(*, num_cpus: int | None, **settings: Any) -> None:
    """Start Ray on this machine and connect to it.

    Ray 2.60 starts a dashboard even where it is told not to, and waits for it: one second and a half, all for a report
    of usage that is turned off. With the autoscaler and the logs' reader that is a third of the CPU time of a start.

    Args:
        num_cpus: Its CPUs; None: those of the machine.
        **settings: Further ones of `ray.init`.
    """
    # For the processes that Ray starts meanwhile, and those only; there need not be a server yet.
    os.environ[worker_setup.FORK_SERVER] = fork_server.address()
    try:
        with _lean():
            ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **settings)
    finally:
        del os.environ[worker_setup.FORK_SERVER]


@contextmanager
def _lean() -> Iterator[None]:
    parameters, start_api_server = parameter.RayParams, services.start_api_server
    lean: list[tuple[Any, str, Any]] = [
        (parameter, "RayParams", partial(parameters, **LEAN)),
        (services, "start_api_server", lambda *_, **__: ("", None)),  # no address, no process
    ]
    for module, name, stand_in in lean:
        setattr(module, name, stand_in)
    try:
        yield
    finally:
        parameter.RayParams, services.start_api_server = parameters, start_api_server  # type: ignore[misc]
