from unittest.mock import patch

import pytest
import ray

from favchat.runtime import worker_threads as module
from favchat.runtime.worker_threads import shared_threads


@pytest.mark.parametrize(("processes", "threads"), [(1, 6), (2, 3), (4, 1), (9, 1)])
def test_processes_share_what_they_may_use(monkeypatch, processes, threads):
    monkeypatch.setattr(module, "allowed_cpus", lambda: 6.5)
    monkeypatch.setattr(module, "_cpus_of_ray", lambda: float("inf"))
    assert shared_threads(processes) == threads


def test_what_ray_has_of_the_machine_is_a_limit_and_what_it_sets_aside_for_a_worker_is_none(ray_session):
    @ray.remote(num_cpus=0.1)
    def inside(processes):
        with patch.object(module, "allowed_cpus", lambda: 8.0):  # the process goes on to other tests
            return shared_threads(processes)

    assert ray.get([inside.remote(processes) for processes in (1, 2)]) == [2, 1]  # Ray has two CPUs here
