"""Give back what the workers of a trial that was stopped held."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback

from favchat.runtime.dead_groups import remove_dead_groups

EVERY_S = 2.0
"""Seconds between two looks while a sweep runs."""
QUIET_S = 2.0
"""Seconds without any such group after which none is expected to come."""
DYING_S = 30.0
"""Seconds that the trainings of stopped trials may take to die."""


class Leftovers(Callback):
    """Removes the placement groups of trainings that are dead, while a sweep runs.

    Ray Tune stops a trial by ending its process. The controller of its training dies with that, and the placement group
    of the workers would hold its CPUs until the job's end. Ray Train 2.60 has a watcher for this, which stages do
    without: it knows nothing of a group whose workers have not all started, asks the dashboard, and ends for good at
    the first error that it did not expect; then a sweep waits for ever for CPUs that nobody uses.
    """

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Begin to look: what lies in the state of an interrupted sweep may come from a machine with another clock."""
        self._looked = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look, now and then."""
        if time.monotonic() - self._looked > EVERY_S:
            remove_dead_groups()
            self._looked = time.monotonic()


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
