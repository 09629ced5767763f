"""Settings of the processes that Ray Serve's replicas run in, so that what answers at once need not wait."""

from __future__ import annotations

import ctypes
import gc
import os

from ray import serve as ray_serve
from ray.serve.exceptions import RayServeException

BEHIND = 4
"""Steps of priority by which what computes stands behind what answers, the API and Ray Serve's proxy."""
M_ARENA_MAX = -8
"""The parameter's number in glibc's malloc.h."""


def stand_behind_the_api() -> None:
    """Give this process less of a busy CPU than the API has, which looks into what lives and refuses what is too much.

    Does nothing outside of a replica.
    """
    if _is_replica():
        os.nice(BEHIND)


def answer_without_pauses() -> None:
    """Keep the garbage collector off what has been imported, and memory from growing with the threads that used it.

    The C library gives each thread memory of its own, which keeps as much as its largest request took; requests with
    whole videos in them pass through one thread after the other. Does nothing outside of a replica.
    """
    if not _is_replica():
        return
    gc.collect()
    gc.freeze()
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):  # glibc has it
        libc.mallopt(M_ARENA_MAX, 2)


def _is_replica() -> bool:
    try:
        ray_serve.get_replica_context()
    except RayServeException:
        return False
    return True
