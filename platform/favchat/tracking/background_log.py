"""Writing to a run from a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from mlflow.utils.time import get_current_time_millis

from favchat.tracking.runs import Run

logger = logging.getLogger(__name__)


class BackgroundLog:
    """Writes to a run from a thread of its own: a store that is slow or gone holds nobody up.

    What could not be written is tried again, ever more seldom, until the log is closed; then it is given up with a
    warning.
    """

    def __init__(self, run: Run, *, limit: int = 100_000):
        self._run = run
        self._todo: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=limit)
        self._closing = threading.Event()
        self._failing = False
        self._lost = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log the values of one step."""
        now, values = get_current_time_millis(), dict(values)
        self._add(lambda: self._run.log_metrics(values, step, now))

    def log_file(self, name: str, content: bytes) -> None:
        """Log a file; its name may hold folders."""
        self._add(lambda: self._run.log_file(name, content))

    def log_table(self, name: str, columns: Mapping[str, list[Any]]) -> None:
        """Add rows to a table, a JSON file that MLflow shows as one."""
        rows = {key: list(values) for key, values in columns.items()}
        self._add(lambda: self._run.client.log_table(self._run.run_id, rows, name))

    def close(self) -> None:
        """Write what is left, for half a minute at most, or a few seconds where the store already fails."""
        patience = 5.0 if self._failing else 30.0
        self._closing.set()
        deadline = time.monotonic() + patience
        try:
            self._todo.put(None, timeout=patience)
        except queue.Full:
            self._lost += 1
        self._thread.join(max(0.0, deadline - time.monotonic()))
        lost = self._lost + self._todo.qsize() + self._thread.is_alive()
        if lost:
            logger.warning("%s: %d records of run %s could not be written", self._run.uri, lost, self._run.run_id)

    def _add(self, work: Callable[[], None]) -> None:
        try:
            self._todo.put_nowait(work)
        except queue.Full:
            self._lost += 1

    def _work(self) -> None:
        wait = 1.0
        while (work := self._todo.get()) is not None:
            while True:
                try:
                    work()
                    self._failing, wait = False, 1.0
                    break
                except Exception as error:  # whatever the store's client raises must not end the training
                    if not self._failing:
                        logger.warning("%s does not take what is logged, training goes on: %s", self._run.uri, error)
                    self._failing = True
                    if self._closing.is_set():
                        self._lost += 1
                        break
                    self._closing.wait(wait)
                    wait = min(60.0, 2 * wait)
