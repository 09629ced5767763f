"""Runs a function in a process of Ray, so that what it imports and loads stays out of this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import ray

T = TypeVar("T")


def run_in_worker(function: Callable[..., T], *arguments: Any, gpus: float = 0) -> T:
    """Call a function in a worker of the running Ray cluster, which needs no free CPU for it.

    Args:
        function: What to call.
        *arguments: Its arguments; they and what it returns cross between the processes.
        gpus: GPUs that it needs.

    Raises:
        Exception: What the function raises.
        ray.exceptions.RayError: Its process ended.
    """
    try:
        return ray.get(ray.remote(num_cpus=0, num_gpus=gpus)(function).remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
