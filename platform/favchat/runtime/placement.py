"""Checks that a cluster can ever place the processes of a job, since Ray itself would wait forever silently."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from favchat.config import ConfigError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Demand:
    """Processes of one kind that a job needs simultaneously."""

    setting: str
    """The setting that says how many."""
    count: int
    cpus: float = 0.0
    """CPUs of each."""
    gpus: float = 0.0
    """GPUs of each."""
    gpu_setting: str = ""
    """The setting that asks for GPUs."""


def local_nodes(num_cpus: int | None, *, gpus: bool) -> list[dict[str, float]]:
    """What a Ray that is started on this machine would have at most.

    Args:
        num_cpus: Its CPUs, where a setting says so.
        gpus: Whether to look for GPUs, which takes torch.
    """
    return [{"CPU": float(num_cpus or os.cpu_count() or 1), "GPU": float(_gpus() if gpus else 0)}]


def check_demands(
    demands: Sequence[Demand], nodes: Sequence[Mapping[str, float]], place: str, *, grows: bool = False
) -> None:
    """Check that all demands fit simultaneously on otherwise idle nodes.

    Args:
        demands: What is needed.
        nodes: The resources of each node, as Ray names them.
        place: What these nodes are, for messages.
        grows: Whether nodes may be added: then demands that do not fit only cause a warning.

    Raises:
        ConfigError: They never fit; the message names the setting.
    """
    free = [dict(node) for node in nodes]
    for demand in sorted(demands, key=lambda one: (one.gpus, one.cpus), reverse=True):
        placed = sum(_take(free, demand) for _ in range(demand.count))
        if placed == demand.count:
            continue
        gpus = sum(node.get("GPU", 0) for node in nodes)
        if demand.gpus and not gpus:
            fault = f"{demand.gpu_setting} = true: {place} has no GPU"
        else:
            need = f"{demand.gpus:g} GPUs" if demand.gpus else f"{demand.cpus:g} CPUs"
            beside = " beside the rest" if len(demands) > 1 else ""
            cpus = sum(node.get("CPU", 0) for node in nodes)
            fault = (
                f"{demand.setting} = {demand.count}: each takes {need}, and {place}, with {cpus:g} CPUs and {gpus:g} "
                f"GPUs, can place {placed}{beside}"
            )
        if not grows:
            raise ConfigError(fault)
        logger.warning("%s; waiting for further nodes", fault)


def _take(free: list[dict[str, float]], demand: Demand) -> bool:
    """Place one process on the first node that has room for it."""
    for node in free:
        if node.get("CPU", 0) + 1e-9 >= demand.cpus and node.get("GPU", 0) + 1e-9 >= demand.gpus:
            node["CPU"] = node.get("CPU", 0) - demand.cpus
            node["GPU"] = node.get("GPU", 0) - demand.gpus
            return True
    return False


def _gpus() -> int:
    import torch  # imported here: it takes seconds

    return torch.cuda.device_count()
