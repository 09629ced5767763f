"""Python's garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector from running, for imports.

    They make a million objects and drop hardly any, and the collector looks at all of them again and again: a fifth of
    the time that torch and transformers take. What there is at the end is not looked at any more, because modules stay.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
