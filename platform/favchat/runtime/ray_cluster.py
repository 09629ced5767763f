"""Connects to a Ray cluster or starts a local one, after checking that it can place the job."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import ray

from favchat.config import ConfigError, RayConfig
from favchat.runtime import local_ray
from favchat.runtime.dead_groups import remove_dead_groups
from favchat.runtime.environment import LOCAL_RAY, quiet_environment
from favchat.runtime.placement import Demand, check_demands, local_nodes
from favchat.runtime.ports import connect_error
from favchat.runtime.ray_address import address_of

logger = logging.getLogger(__name__)


def start(config: RayConfig, *, demands: Sequence[Demand] = ()) -> None:
    """Connect to the cluster of the ``ray`` section or start a local one, unless this process has done so.

    What trainings whose jobs were killed have left in a cluster, and what would hold CPUs for ever, is removed.

    Args:
        config: The ``ray`` section.
        demands: What the job will ask for. A local cluster that cannot give it is not started.

    Raises:
        ConnectionError: No cluster answers at the address, or a local one does not start.
        ConfigError: The cluster can never place what is demanded.
    """
    address = address_of(config)
    started_here = not ray.is_initialized() and not address
    if not ray.is_initialized():
        quiet_environment()
        try:
            if address:
                check_reach(address, "ray.address" if config.address else "RAY_ADDRESS")
                ray.init(address=address, **_COMMON)
            else:
                nodes = local_nodes(config.num_cpus, gpus=any(demand.gpus for demand in demands))
                check_demands(demands, nodes, "this machine")
                _start_local(config)
        except ConfigError:
            raise
        except Exception as error:  # Ray raises various exception types if it does not start
            raise ConnectionError(_unreached(config, error)) from error
    if not started_here and not ray.util.client.ray.is_connected():
        remove_dead_groups()
    if demands:
        there = [node for node in ray.nodes() if node["Alive"]]
        # Nodes with a node group are managed by an autoscaler, which may add more.
        grows = any("ray.io/node-group" in node.get("Labels", {}) for node in there)
        check_demands(demands, [node["Resources"] for node in there], "the Ray cluster", grows=grows)


def check_reach(address: str, name: str) -> None:
    """Check that a Ray cluster, or its jobs API, answers at an address, since Ray itself would retry for minutes.

    Args:
        address: ``HOST:PORT``, or an address with ``ray://``, ``http://`` or ``https://``; others are left to Ray.
        name: The setting or variable that holds it, for messages.

    Raises:
        ConnectionError: There is no answer.
    """
    plain = "://" not in address
    parts = urlsplit(f"ray://{address}" if plain else address)
    if parts.scheme not in ("ray", "http", "https") or (plain and ":" not in address):
        return
    try:
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme, 10001)
    except ValueError as error:
        raise ConnectionError(f"{name} = {address}: {error}") from error
    fault = connect_error(host, port, grpc=parts.scheme == "ray")
    if fault:
        raise ConnectionError(f"{name} = {address}: no Ray answers there: {fault}")


_COMMON: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}


def _start_local(config: RayConfig) -> None:
    for name, value in LOCAL_RAY.items():
        os.environ.setdefault(name, value)
    local_ray.start(num_cpus=config.num_cpus, **_COMMON)


def _unreached(config: RayConfig, error: Exception) -> str:
    """The error message if Ray cannot be reached or started: setting or variable, cause, remedy."""
    address, name = address_of(config), "ray.address" if config.address else "RAY_ADDRESS"
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if address is None:
        return (
            f"a local Ray does not start: {reason}\nIts logs are in /tmp/ray/session_latest/logs. A machine that is "
            "short of memory or disk, or very busy, is the usual cause; ray.address=HEAD:6379 uses a cluster instead"
        )
    told = reason if reason.startswith(name) else f"{name} = {address}: {reason}"
    way = "unset it" if name == "RAY_ADDRESS" else "leave it out"
    jobs = " (http:// is the address of its jobs API, for favchat submit)" if address.startswith("http") else ""
    return f"{told}\nGive the address of a running cluster, HEAD:6379{jobs}, or {way}: a local Ray is started then"
