"""How many threads each of several processes may have that work on one machine at once."""

from __future__ import annotations

import sys

from favchat.runtime.threads import allowed_cpus


def shared_threads(processes: int) -> int:
    """An equal share, at least 1, of what this process may use and of the CPUs that Ray has on this machine.

    For processes that ask Ray for less than they use, so that tasks which feed them find a CPU too: training workers,
    and the actors of an evaluation. For others see `favchat.runtime.threads.available_threads`.

    Args:
        processes: How many there are on this machine, this one among them.
    """
    return max(1, int(min(allowed_cpus(), _cpus_of_ray()) / processes))


def _cpus_of_ray() -> float:
    """What Ray may use of this machine, such as ``ray.num_cpus``; without Ray there is no such limit."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return float("inf")
    here = ray.get_runtime_context().get_node_id()
    cpus = sum(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["NodeID"] == here)
    return cpus or float("inf")  # a head of a cluster may give none to tasks
