"""Filters what native code writes to standard error, bypassing Python."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_lines(*patterns: bytes) -> Iterator[None]:
    """Leave lines that contain one of some patterns out of the process's standard error, while a block runs.

    Only the file descriptor is filtered, line by line: Python's own `sys.stderr`, where it writes to that descriptor,
    goes to the terminal directly meanwhile, so that progress bars still find one.
    """
    terminal = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    before = sys.stderr
    if _descriptor(before) == 2:
        sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1, encoding=before.encoding, errors="backslashreplace")

    def filter_lines() -> None:
        with open(reader, "rb", buffering=0) as pipe:
            for line in io.BufferedReader(pipe):
                if not any(pattern in line for pattern in patterns):
                    os.write(terminal, line)

    thread = threading.Thread(target=filter_lines, name="native-stderr", daemon=True)
    thread.start()
    try:
        yield
    finally:
        if sys.stderr is not before:
            sys.stderr.close()
            sys.stderr = before
        os.dup2(terminal, 2)  # closes the pipe's last end here, and with it the thread's loop
        # A child that was started meanwhile may hold the other end open for as long as it lives.
        thread.join(timeout=1)
        if not thread.is_alive():
            os.close(terminal)


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # no file lies behind it
        return None
