"""Starts a Ray of this machine's own, without the processes that only clusters of machines need."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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


_fork_server: str | None = None
"""Where workers of the local Ray look for a fork server, if one has been started."""
_preloaded = False


def start(*, num_cpus: int | None, preload: Sequence[str] = (), **settings: Any) -> None:
    """Start Ray on this machine and connect to it.

    Ray 2.60 starts a dashboard even where it is told not to, and waits for it: one second and a half, all for a report
    of usage that is turned off. With the autoscaler and the logs' reader that is a third of the CPU time of a start.

    Args:
        num_cpus: Its CPUs; None: those of the machine.
        preload: As of :func:`preload_workers`.
        **settings: Further ones of `ray.init`.
    """
    global _fork_server
    _fork_server = _fork_server or fork_server.new_address()
    preload_workers(preload)
    # For the processes that Ray starts meanwhile, and those only.
    os.environ[worker_setup.FORK_SERVER] = _fork_server
    try:
        with _lean():
            ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **settings)
    finally:
        del os.environ[worker_setup.FORK_SERVER]


def preload_workers(modules: Sequence[str]) -> None:
    """Have what most workers of this process's local Ray need imported once for all of them, from soon on.

    Args:
        modules: See :func:`favchat.runtime.fork_server.start`. Where others have been preloaded, nothing is changed,
            nor where this process has not started a Ray.
    """
    global _preloaded
    if modules and _fork_server and not _preloaded:
        _preloaded = True
        fork_server.start(_fork_server, modules)


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
