"""Give back what the workers of a trial that was stopped held."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import ray
from ray.tune import Callback
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException

EVERY_S = 5.0
"""Seconds between two looks while a sweep runs."""
DYING_S = 30.0
"""Seconds that the workers of a stopped trial may take to die."""
MOST_ACTORS = 10_000
"""The state API's own limit; a job has fewer."""


class Leftovers(Callback):
    """Removes placement groups whose actors are all dead, while a sweep runs.

    Ray Tune stops a trial by killing its process. The controller of its training dies with that, and the placement
    group of the workers would hold its CPUs until the job's end. Ray Train 2.60 has a watcher for this, which ends for
    good at the first error that it did not expect; then a sweep waits for ever for CPUs that nobody uses.
    """

    def __init__(self) -> None:
        self._looked = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look, now and then."""
        if time.monotonic() - self._looked > EVERY_S:
            remove_dead_groups()
            self._looked = time.monotonic()


def remove_dead_groups() -> bool:
    """Remove this job's placement groups whose actors are all dead.

    It needs the cluster's dashboard; while that does not answer, nothing is removed.

    Returns:
        Whether others are left, whose actors live.
    """
    context = ray.get_runtime_context()
    try:
        actors = list_actors(
            address=context.gcs_address,
            filters=[("job_id", "=", context.get_job_id())],
            detail=True,
            limit=MOST_ACTORS,
            raise_on_missing_output=False,
        )
    except (RayStateApiException, ConnectionError, ValueError):
        return False
    alive: defaultdict[str, bool] = defaultdict(bool)
    for actor in actors:
        if actor.placement_group_id:
            alive[actor.placement_group_id] |= actor.state != "DEAD"
    table = placement_group_table()
    held = {name: lives for name, lives in alive.items() if table.get(name, {}).get("state") == "CREATED"}
    for name, lives in held.items():
        if not lives:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(name))))
    return any(held.values())


def wait_for_groups() -> None:
    """After a sweep, remove the groups of trials that were stopped last, whose workers may still be dying."""
    deadline = time.monotonic() + DYING_S
    while remove_dead_groups() and time.monotonic() < deadline:
        time.sleep(0.5)
