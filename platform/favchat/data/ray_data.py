"""Ray Data as the jobs run it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ray.data import DataContext
from ray.util.annotations import RayDeprecationWarning


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
    with DataContext.current(context), warnings.catch_warnings():
        warnings.simplefilter("ignore", RayDeprecationWarning)  # retries have no named argument in Ray 2.60 to 2.63
        try:
            for handler in console:
                handler.setLevel(logging.CRITICAL)
            yield context
        finally:
            for handler, level in zip(console, levels, strict=True):
                handler.setLevel(level)
