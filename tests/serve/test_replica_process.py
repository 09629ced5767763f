"""Settings of replicas' processes, and of no others."""

import ctypes
import gc
import os
from types import SimpleNamespace

import pytest
from ray import serve as ray_serve

from serve import replica_process


@pytest.fixture(params=[True, False])
def done(request, monkeypatch):
    """What is done in a replica, or outside of one."""
    calls: list[object] = []
    if request.param:
        monkeypatch.setattr(ray_serve, "get_replica_context", lambda: None)
    monkeypatch.setattr(os, "nice", lambda steps: calls.append(steps))
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("frozen"))
    library = SimpleNamespace(mallopt=lambda *given: calls.append(given))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    return request.param, calls


def test_what_computes_stands_behind_the_api(done):
    replica, calls = done
    replica_process.compute_behind_the_api()
    kept = [(replica_process.M_MMAP_THRESHOLD, 32 << 20), (replica_process.M_TRIM_THRESHOLD, 256 << 20)]
    assert calls == ([replica_process.BEHIND, *kept] if replica else [])


def test_the_collector_and_the_threads_memory_are_kept_small(done):
    replica, calls = done
    replica_process.answer_without_pauses()
    assert calls == (["frozen", (replica_process.M_ARENA_MAX, 2)] if replica else [])


def test_the_c_library_takes_the_number():
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt")
    assert ctypes.CDLL(None).mallopt(replica_process.M_ARENA_MAX, 8 * (os.cpu_count() or 1)) == 1
