"""Removes placement groups that have outlived who made them, and would hold CPUs that nobody uses."""

from __future__ import annotations

from typing import Any

import ray
from ray._private.state import state
from ray.core.generated.gcs_pb2 import ActorTableData, PlacementGroupTableData  # type: ignore[attr-defined]
from ray.util.placement_group import PlacementGroup, remove_placement_group


def remove_dead_groups() -> bool:
    """Remove the placement groups of dead actors of this job, and of actors of jobs that have ended.

    Ray itself removes the groups of a job's dead actors only when the whole job has ended. A controller whose workers
    are taken from it may register a group for new ones while it is being ended; where the driver was killed it may come
    after the end of the job, and is never removed. Who made a group stands in the cluster's own table alone, which no
    public function gives whole; it is read without the dashboard.

    Returns:
        Whether there were any groups of this job that an actor made, whether or not it lives.
    """
    job, ended = ray.get_runtime_context().get_job_id(), None
    found = False
    accessor = state._connect_and_get_accessor()
    for entry in accessor.get_placement_group_table():
        group = PlacementGroupTableData.FromString(entry)
        made_by_actor = any(byte != 0xFF for byte in group.creator_actor_id)
        if not made_by_actor or group.is_detached or group.state == PlacementGroupTableData.REMOVED:
            continue
        maker = group.creator_job_id.hex()
        if maker != job:
            if ended is None:
                ended = {one["JobID"] for one in state.job_table() if one["IsDead"]}
            if maker not in ended:
                continue
        found |= maker == job
        if group.creator_actor_dead or _is_dead(accessor, group.creator_actor_id):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return found


def _is_dead(accessor: Any, actor: bytes) -> bool:
    """Whether an actor is dead, by its own entry: groups that it made while it was being ended are not marked."""
    entry = accessor.get_actor_info(ray.ActorID(actor))
    return entry is None or ActorTableData.FromString(entry).state == ActorTableData.DEAD
