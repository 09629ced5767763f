"""One line on the terminal that says how many clips are done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.actor import ActorHandle
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_POLL_S = 0.5


@ray.remote(num_cpus=0)
class ClipCounter:
    """Counts finished clips for a driver that waits for them; a clip that is done twice counts once."""

    def __init__(self) -> None:
        self._rejected: dict[str, bool] = {}

    def finished(self, clip_id: str, rejected: bool) -> None:
        """Note that a clip is done."""
        self._rejected[clip_id] = rejected

    def counts(self) -> tuple[int, int]:
        """Clips done, and how many of them were rejected."""
        return len(self._rejected), sum(self._rejected.values())


@contextmanager
def clip_progress(label: str, total: int) -> Iterator[ActorHandle]:
    """Show a progress bar on standard error while the block runs; yields the ``ClipCounter`` to report to."""
    counter = ClipCounter.remote()  # type: ignore[attr-defined]  # added by the decorator
    done = threading.Event()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips, {task.fields[rejected]} rejected"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, rejected=0)

        def poll() -> None:
            while not done.wait(_POLL_S):
                finished, rejected = ray.get(counter.counts.remote())
                bar.update(task, completed=finished, rejected=rejected)

        watcher = threading.Thread(target=poll, name="clip-progress", daemon=True)
        watcher.start()
        try:
            yield counter
        finally:
            done.set()
            watcher.join()
            ray.kill(counter)
