import os
from unittest.mock import patch

import pytest
import ray

from favchat.runtime import threads
from favchat.runtime.threads import allowed_cpus, available_threads, cpu_quota, server_threads


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("cpu_", "cpu.", 1)).write_text(text)


@pytest.fixture
def mounts(tmp_path):
    return tmp_path / "mounts"


def quota(tmp_path, mounts, membership):
    (tmp_path / "membership").write_text(membership)
    return cpu_quota(tmp_path / "membership", mounts)


def test_version_2_counts_the_least_limit_on_the_way_to_the_root(tmp_path, mounts):
    write(mounts / "user.slice" / "job.scope", cpu_max="max 100000\n")
    write(mounts / "user.slice", cpu_max="250000 100000\n")
    assert quota(tmp_path, mounts, "0::/user.slice/job.scope\n") == 2.5
    write(mounts / "user.slice" / "job.scope", cpu_max="50000 100000\n")
    assert quota(tmp_path, mounts, "0::/user.slice/job.scope\n") == 0.5


def test_version_1_is_read_under_either_name_of_its_folder(tmp_path, mounts):
    write(mounts / "cpu,cpuacct" / "job", cpu_cfs_quota_us="300000\n", cpu_cfs_period_us="100000\n")
    membership = "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n"
    assert quota(tmp_path, mounts, membership) == 3.0
    write(mounts / "cpu", cpu_cfs_quota_us="-1\n", cpu_cfs_period_us="100000\n")
    assert quota(tmp_path, mounts, membership) == 3.0


def test_in_a_container_the_limit_lies_at_the_root(tmp_path, mounts):
    write(mounts, cpu_max="150000 100000\n")
    assert quota(tmp_path, mounts, "0::/system.slice/docker-of-the-host.scope\n") == 1.5


def test_without_a_limit_or_without_groups_there_is_none(tmp_path, mounts):
    write(mounts, cpu_max="max 100000\n")
    assert quota(tmp_path, mounts, "0::/\n") is None
    assert cpu_quota(tmp_path / "nowhere", mounts) is None


def test_affinity_and_limit_count_and_parts_of_a_cpu_are_rounded_down(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    monkeypatch.setattr(threads, "_reserved_cpus", lambda: None)
    monkeypatch.setattr(threads, "cpu_quota", lambda: None)
    assert (allowed_cpus(), available_threads()) == (6.0, 6)
    monkeypatch.setattr(threads, "cpu_quota", lambda: 2.7)
    assert (allowed_cpus(), available_threads()) == (2.7, 2)
    monkeypatch.setattr(threads, "cpu_quota", lambda: 0.3)
    assert available_threads() == 1


def test_a_server_s_process_takes_the_machine_s_cpus_whatever_ray_set_aside(monkeypatch):
    monkeypatch.setattr(threads, "_reserved_cpus", lambda: 0.1)
    monkeypatch.setattr(threads, "allowed_cpus", lambda: 2.7)
    assert (available_threads(), server_threads(None), server_threads(5)) == (1, 2, 5)
    monkeypatch.setattr(threads, "allowed_cpus", lambda: 0.5)
    assert server_threads(None) == 1


def test_a_worker_of_ray_has_what_was_set_aside_for_it(ray_session, monkeypatch):
    @ray.remote
    def inside(machine):
        with patch.object(threads, "allowed_cpus", lambda: machine):  # the process goes on to other tests
            return threads.available_threads()

    calls = [inside.options(num_cpus=cpus).remote(8.0) for cpus in (2, 1, 0.1, 0)]
    assert ray.get(calls) == [2, 1, 1, 1]
    assert ray.get(inside.options(num_cpus=2).remote(1.0)) == 1
    # The driver is no worker: nothing was set aside for it.
    monkeypatch.setattr(threads, "allowed_cpus", lambda: 8.0)
    assert available_threads() == 8
