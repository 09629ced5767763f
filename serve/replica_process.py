"""Settings of the processes that Ray Serve's replicas run in, so that what answers at once need not wait."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Mapping

from ray import serve as ray_serve
from ray.serve.exceptions import RayServeException

BEHIND = 4
"""Steps of priority by which what computes stands behind what answers, the API and Ray Serve's proxy."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""The parameters' numbers in glibc's malloc.h."""


def compute_behind_the_api() -> None:
    """Give this process less of a busy CPU than the API has, which looks into what lives and refuses what is too much.

    What it frees it keeps for the next request: an encoded video took 12,000 pages of new memory, a third of its time.
    Does nothing outside of a replica.
    """
    if _is_replica():
        os.nice(BEHIND)
        _tell_malloc({M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 256 << 20})


def answer_without_pauses() -> None:
    """Keep the garbage collector off what has been imported, and memory from growing with the threads that used it.

    The C library gives each thread memory of its own, which keeps as much as its largest request took; requests with
    whole videos in them pass through one thread after the other. Does nothing outside of a replica.
    """
    if not _is_replica():
        return
    gc.collect()
    gc.freeze()
    _tell_malloc({M_ARENA_MAX: 2})


def _tell_malloc(settings: Mapping[int, int]) -> None:
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # glibc's
        for parameter, value in settings.items():
            library.mallopt(parameter, value)


def _is_replica() -> bool:
    try:
        ray_serve.get_replica_context()
    except RayServeException:
        return False
    return True
