"""Progress of clips: a bar on a terminal, periodic lines in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_POLL_S = 0.5
LOG_S = 30.0
"""Seconds between two lines in a log."""


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


class ProgressLog:
    """Clips per second and remaining time, measured from the first finished clips on, without the cluster's start."""

    def __init__(self, total: int) -> None:
        """Begin to count.

        Args:
            total: Clips there are.
        """
        self._total = total
        self._began: tuple[float, int] | None = None
        self._rate = 0.0
        self._finished = 0

    def note(self, now: float, finished: int) -> None:
        """Note how many clips are finished at a time in seconds."""
        self._finished = finished
        if self._began is None:
            self._began = (now, finished) if finished else None
        elif now > self._began[0]:
            self._rate = (finished - self._began[1]) / (now - self._began[0])

    def __str__(self) -> str:
        """Such as ``2.1 clips/s, 0:12:40 left``; without a rate as long as there is none."""
        if not self._rate:
            return "- clips/s"
        left = timedelta(seconds=round((self._total - self._finished) / self._rate))
        return f"{self._rate:.3g} clips/s, {left} left"


@contextmanager
def clip_progress(label: str, total: int, console: Console | None = None) -> Iterator[ActorHandle]:
    """Show progress on standard error while the block runs; yields the ``ClipCounter`` to report to.

    Args:
        label: Begins the line.
        total: Clips there are.
        console: Where to show it, in place of standard error.
    """
    # Beside this process, so that it does not go with a node that the work runs on.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    counter = ClipCounter.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]  # by the decorator
    console = console or Console(stderr=True)
    done = threading.Event()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips, {task.fields[rejected]} rejected, {task.fields[pace]}"),
    )
    pace = ProgressLog(total)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=total, rejected=0, pace=pace)

        def poll() -> None:
            logged = time.monotonic()
            while not done.wait(_POLL_S):
                try:
                    finished, rejected = ray.get(counter.counts.remote())
                except RayError:  # it is gone, or cannot be reached for a while; the work goes on without
                    continue
                now = time.monotonic()
                pace.note(now, finished)
                bar.update(task, completed=finished, rejected=rejected)
                if not console.is_terminal and now - logged >= LOG_S:
                    console.print(
                        f"{label}: {finished:,} of {total:,} clips, {rejected:,} rejected, {pace}",
                        highlight=False,
                        soft_wrap=True,
                    )
                    logged = now

        watcher = threading.Thread(target=poll, name="clip-progress", daemon=True)
        watcher.start()
        try:
            yield counter
        finally:
            done.set()
            watcher.join()
            ray.kill(counter)
