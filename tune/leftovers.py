"""Give back what the workers of a trial that was stopped held."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray._private.state import state
from ray.core.generated.gcs_pb2 import ActorTableData, PlacementGroupTableData  # type: ignore[attr-defined]
from ray.tune import Callback
from ray.util.placement_group import PlacementGroup, remove_placement_group

EVERY_S = 2.0
"""Seconds between two looks while a sweep runs."""
QUIET_S = 2.0
"""Seconds without any such group after which none is expected to come."""
DYING_S = 30.0
"""Seconds that the trainings of stopped trials may take to die."""


class Leftovers(Callback):
    """Removes the placement groups of trainings that are dead, while a sweep runs.

    Ray Tune stops a trial by ending its process. The controller of its training dies with that, and the placement group
    of the workers would hold its CPUs until the job's end. Ray Train 2.60 has a watcher for this, which knows nothing
    of a group whose workers have not all started, asks the dashboard, and ends for good at the first error that it did
    not expect; then a sweep waits for ever for CPUs that nobody uses.
    """

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Begin to look: what lies in the state of an interrupted sweep may come from a machine with another clock."""
        self._looked = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look, now and then."""
        if time.monotonic() - self._looked > EVERY_S:
            remove_dead_groups()
            self._looked = time.monotonic()


def remove_dead_groups() -> bool:
    """Remove this job's placement groups that were made by actors which are dead.

    Ray itself removes them only when the whole job has ended. Who made a group stands in the cluster's own table alone,
    which no public function gives whole; it is read without the dashboard.

    Returns:
        Whether there were any, of the dead or of others whose makers live.
    """
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    found = False
    accessor = state._connect_and_get_accessor()
    for entry in accessor.get_placement_group_table():
        group = PlacementGroupTableData.FromString(entry)
        made_by_actor = any(byte != 0xFF for byte in group.creator_actor_id)
        if group.creator_job_id != job or not made_by_actor or group.state == PlacementGroupTableData.REMOVED:
            continue
        found = True
        if group.creator_actor_dead or _is_dead(accessor, group.creator_actor_id):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return found


def _is_dead(accessor: Any, actor: bytes) -> bool:
    """Whether an actor is dead, by its own entry.

    A controller whose workers are taken from it may register a group for new ones while it is being ended. Such a group
    comes after the cluster has marked those of the dead actor, and is never marked itself.
    """
    entry = accessor.get_actor_info(ray.ActorID(actor))
    return entry is None or ActorTableData.FromString(entry).state == ActorTableData.DEAD


def wait_for_groups() -> None:
    """After a sweep, remove the groups of trials that were stopped last, whose trainings may still be dying.

    A training that is being ended may register a group for new workers after its first one is gone: there has to be
    none for a while.
    """
    now = time.monotonic()
    deadline, quiet_from = now + DYING_S, now
    while time.monotonic() < min(deadline, quiet_from + QUIET_S):
        if remove_dead_groups():
            quiet_from = time.monotonic()
        time.sleep(0.2)
