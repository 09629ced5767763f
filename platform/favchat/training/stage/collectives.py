"""What workers tell each other within a step."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import Tensor


def all_reduce_sum(values: Tensor) -> Tensor:
    """Sum values over all workers, in place; unchanged without a process group."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
    return values


def all_gather_objects(value: Any) -> list[Any]:
    """Gather small objects from all workers, by rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
