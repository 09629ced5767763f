"""Step file of a stage (one JSON line per step), and its progress display on a terminal or in a log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from favchat.io.files import write_text_whole

LOG_SECONDS = 60
"""In a log a line comes at each tenth of the steps, and at least this often."""


class StepFile:
    """The metrics of all steps of a stage, one JSON line each, across restarts.

    Each line has `step`, `elapsed` (seconds of training since the stage's start) and the step's metrics. The first
    line has `begun`, the step after which the current workers started.
    """

    def __init__(self, path: Path, *, after: int):
        """Continue after a step: later lines of an interrupted run are dropped, because these steps are repeated."""
        kept = [line for line in read_steps(path) if line["step"] <= after]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(path, "".join(f"{json.dumps(line)}\n" for line in ({"begun": after}, *kept)))
        self._before = kept[-1]["elapsed"] if kept else 0.0
        self._began = time.monotonic()
        self._file = path.open("a")

    def add(self, step: int, metrics: dict[str, Any]) -> None:
        """Append a step's line. On a full disk the line is lost and training continues."""
        elapsed = self._before + time.monotonic() - self._began
        try:
            self._file.write(f"{json.dumps({'step': step, 'elapsed': elapsed, **metrics})}\n")
            self._file.flush()
        except OSError as error:
            Console(stderr=True).print(f"step {step} is missing in {self._file.name}: {error.strerror}")


def read_steps(path: Path) -> list[dict[str, float]]:
    """Read the steps of a step file; empty where there is no file."""
    if not path.is_file():
        return []
    # The last piece is empty or a partially written line.
    lines = map(json.loads, path.read_text().split("\n")[:-1])
    return [line for line in lines if "step" in line]


@contextmanager
def progress_bar(path: Path, name: str, steps: int) -> Iterator[None]:
    """Show the progress of a stage from its growing step file: a bar on a terminal, periodic log lines elsewhere.

    Args:
        path: The step file, which need not exist yet.
        name: Name of the stage.
        steps: Total number of steps.
    """
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(path, name, steps, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(timeout=10)


def _watch(path: Path, name: str, steps: int, over: threading.Event) -> None:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[rate]} tokens/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"train {name}", total=steps, loss="-", rate="-")
        inode, offset, said, begun = None, 0, time.monotonic(), 0
        while True:
            ending = over.is_set()
            if path.is_file():
                if path.stat().st_ino != inode:  # rewritten by restarted workers
                    inode, offset = path.stat().st_ino, 0
                with path.open() as file:
                    file.seek(offset)
                    text = file.read()
                whole = text[: text.rfind("\n") + 1]
                offset += len(whole.encode())
                for line in map(json.loads, whole.splitlines()):
                    if "begun" in line:
                        begun = line["begun"]
                        if begun:
                            console.print(f"train {name}: goes on after step {begun}", highlight=False)
                        continue
                    step = int(line["step"])
                    loss, rate = f"{main_loss(line):.3f}", f"{line['tokens_per_second']:.0f}"
                    bar.update(task, completed=step, loss=loss, rate=rate)
                    if step <= begun:
                        continue
                    tenth = step % max(1, steps // 10) == 0 or step == steps
                    if not console.is_terminal and (tenth or time.monotonic() - said > LOG_SECONDS):
                        said = time.monotonic()
                        console.print(f"train {name}: {_line(line, step, steps, loss, rate)}", highlight=False)
            if ending:
                return
            over.wait(0.2)


def main_loss(metrics: Mapping[str, float]) -> float:
    """The loss that a stage minimises: of the answer tokens, or of the attributes where it has no texts."""
    return metrics["language_loss"] if "language_loss" in metrics else metrics["attribute_loss"]


def _line(line: dict[str, Any], step: int, steps: int, loss: str, rate: str) -> str:
    left = timedelta(seconds=round(line["elapsed"] / step * (steps - step)))
    return f"{step:,} of {steps:,} steps, loss {loss}, {rate} tokens/s, {left} left"
