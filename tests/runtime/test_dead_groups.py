import time
from types import SimpleNamespace

import pytest
import ray
from ray._private.state import state
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from favchat.runtime import dead_groups
from favchat.runtime.dead_groups import remove_dead_groups


def maker():
    """An actor that makes a group of one CPU, with a worker in it or without, as the controller of a training does."""

    class Worker:
        def works(self):
            return True

    class Maker:
        def make(self, cpus, with_worker):
            self.group = placement_group([{"CPU": cpus}])
            if with_worker:
                place = PlacementGroupSchedulingStrategy(self.group)
                self.worker = ray.remote(num_cpus=1)(Worker).options(scheduling_strategy=place).remote()
                ray.get(self.worker.works.remote())
            return self.group.id.hex()

    return ray.remote(num_cpus=0)(Maker).remote()


def gone(name, seconds=30):
    deadline = time.monotonic() + seconds
    while (state := placement_group_table()[name]["state"]) != "REMOVED" and time.monotonic() < deadline:
        remove_dead_groups()
        time.sleep(0.1)
    return state == "REMOVED"


@pytest.mark.parametrize(
    ("cpus", "with_worker"), [(1, True), (1, False), (1000, False)], ids=["full", "empty", "waits"]
)
def test_groups_are_removed_when_their_maker_is_dead_and_not_before(ray_session, cpus, with_worker):
    dies, lives = maker(), maker()
    group = ray.get(dies.make.remote(cpus, with_worker))
    other = ray.get(lives.make.remote(1, False))
    own = placement_group([{"CPU": 1000}])
    assert remove_dead_groups()
    assert placement_group_table()[group]["state"] in ("CREATED", "PENDING")
    ray.kill(dies)
    assert gone(group)
    assert placement_group_table()[other]["state"] == "CREATED"
    assert placement_group_table()[own.id.hex()]["state"] == "PENDING"
    ray.kill(lives)
    assert gone(other)
    assert not remove_dead_groups()
    remove_placement_group(own)


def test_a_group_that_came_after_its_makers_death_was_noted_is_removed_too(ray_session, monkeypatch):
    real = dead_groups.PlacementGroupTableData

    class Unmarked:
        """Entries as those of groups that a maker registered while it was being ended."""

        REMOVED = real.REMOVED

        @staticmethod
        def FromString(entry):
            group = real.FromString(entry)
            group.creator_actor_dead = False
            return group

    monkeypatch.setattr(dead_groups, "PlacementGroupTableData", Unmarked)
    dies = maker()
    group = ray.get(dies.make.remote(1, False))
    assert remove_dead_groups()
    ray.kill(dies)
    assert gone(group)


@pytest.mark.parametrize("ended", [True, False])
def test_of_other_jobs_only_those_that_have_ended_lose_a_dead_actors_groups(ray_session, monkeypatch, ended):
    dies, job = maker(), ray.get_runtime_context().get_job_id()
    group = ray.get(dies.make.remote(1, False))
    with monkeypatch.context() as patch:  # this job's group, as another job sees it
        patch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_job_id=lambda: "ff" * (len(job) // 2)))
        patch.setattr(state, "job_table", lambda: [{"JobID": job, "IsDead": ended}])
        assert not remove_dead_groups()
        assert placement_group_table()[group]["state"] == "CREATED"
        ray.kill(dies)
        assert gone(group, seconds=10 if ended else 1) is ended
    assert gone(group)
