"""Execution settings of Ray Data."""

from __future__ import annotations

import gc
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ray.data import DataContext
from ray.util.annotations import RayDeprecationWarning

from favchat.runtime.native_stderr import without_lines

PAUSE_S = 0.05
"""Between two looks of Ray Data at its tasks, where what they make is taken slowly."""

NO_ERROR = b"constructor arguments in the object store and max_restarts"
"""Ray's core calls every pool of actors of Ray Data an error (ray-project/ray#53727)."""


class ThrottledCallback:
    """A callback for ``DataContext.custom_execution_callback_classes`` that makes Ray Data's scheduling loop sleep.

    Ray 2.60 polls without a pause while finished blocks wait to be consumed, which takes most of a CPU core. In a
    training process it competes with the training for the core and the GIL: steps took three times as long.
    """

    def before_execution_starts(self, executor: object) -> None:
        """Nothing."""

    def on_execution_step(self, executor: object) -> None:
        """Wait."""
        time.sleep(PAUSE_S)

    def after_execution_succeeds(self, executor: object) -> None:
        """Nothing."""

    def after_execution_fails(self, executor: object, error: Exception) -> None:
        """Nothing."""


@contextmanager
def quiet_execution() -> Iterator[DataContext]:
    """Keep Ray Data off the console while a block makes and runs datasets; its log file has what it would have said.

    What goes wrong is raised, or becomes a row of the job's own. Yields the settings of the block's datasets.
    """
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    console = [
        handler for handler in logging.getLogger("ray.data").handlers if isinstance(handler, logging.StreamHandler)
    ]
    levels = [handler.level for handler in console]
    with DataContext.current(context), warnings.catch_warnings(), without_lines(NO_ERROR):
        warnings.simplefilter("ignore", RayDeprecationWarning)  # retries have no named argument in Ray 2.60 to 2.63
        try:
            for handler in console:
                handler.setLevel(logging.CRITICAL)
            yield context
        finally:
            for handler, level in zip(console, levels, strict=True):
                handler.setLevel(level)
            # Ray Data's pools refer to themselves, and an actor that was started anew keeps its CPUs until the last
            # handle is gone: what runs next would wait for the collector, which Ray calls after a minute.
            gc.collect()
