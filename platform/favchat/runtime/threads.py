"""Sizes of thread pools, from the CPUs that this process may use instead of all CPUs of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_threads() -> int:
    """The threads that the pools of this process may have: whole CPUs, rounded down, at least 1.

    The least of what `allowed_cpus` says and, in a worker of Ray, the CPUs that Ray has set aside for its task or
    actor. A worker without any, or with part of one, has 1, as Ray itself sets ``OMP_NUM_THREADS``.
    """
    reserved = _reserved_cpus()
    return max(1, int(allowed_cpus() if reserved is None else min(allowed_cpus(), reserved)))


def allowed_cpus() -> float:
    """The CPUs that the system lets this process use: its affinity, and the CPU limit of its control groups.

    Reservations of Ray, which are a matter of scheduling and no limit, do not count.
    """
    # Only Linux lets one ask; elsewhere there are neither affinities nor control groups to heed.
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return float(bound) if quota is None else min(float(bound), quota)


def server_threads(wanted: int | None) -> int:
    """The threads of a part of the server: as many as wanted, by default `allowed_cpus`.

    What Ray has set aside for its process does not count: the parts take turns, a video passes one after the other.
    """
    return wanted or int(allowed_cpus()) or 1


def cpu_quota(membership: Path = MEMBERSHIP, mounts: Path = CGROUPS) -> float | None:
    """The CPU limit of this process's control groups, of either version, in CPUs; None where there is none.

    A limit holds for all groups below, so the least one on the way to the root counts. In a container the way that the
    kernel names may not be there, and the limit lies at the root.

    Args:
        membership: Where the kernel says which groups this process is in.
        mounts: Where the groups' files are mounted.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    found: list[float] = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            roots = [mounts]
        elif "cpu" in controllers.split(","):
            roots = [mounts / "cpu", mounts / controllers]
        else:
            continue
        way = Path(group.lstrip("/"))
        for root in roots:
            for place in (root / way, *(root / parent for parent in way.parents)):
                quota = _quota(place)
                if quota is not None:
                    found.append(quota)
    return min(found, default=None)


def _quota(group: Path) -> float | None:
    """The limit of one group in CPUs: ``cpu.max`` of version 2, or the two files of version 1."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such group, or "max"
        return None


def _reserved_cpus() -> float | None:
    """What Ray has set aside for the task or actor that runs here; None outside its workers."""
    ray = sys.modules.get("ray")  # a worker has it, and for others it would take a second to import
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.worker.mode != ray.WORKER_MODE:
        return None
    return float(context.get_assigned_resources().get("CPU", 0.0))
