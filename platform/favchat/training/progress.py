"""The progress of a stage, on a terminal or in a log."""

from __future__ import annotations

import time

from ray.util.queue import Queue
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from favchat.config import StageConfig


def show_progress(queue: Queue, stage: StageConfig, history: list[dict[str, float]]) -> None:
    """Show each step's metrics as rank 0 puts them into the queue, until None comes.

    Args:
        queue: Gives `(step, metrics)`.
        stage: Names the bar and says how many steps there are.
        history: Gets the metrics of each step, with `elapsed`, the seconds since the first one's start.
    """
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
    began = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"train {stage.name}", total=stage.steps, loss="-", rate="-")
        while (item := queue.get()) is not None:
            step, metrics = item
            history.append({**metrics, "elapsed": time.monotonic() - began})
            loss, rate = f"{metrics['language_loss']:.3f}", f"{metrics['tokens_per_second']:.0f}"
            bar.update(task, completed=step, loss=loss, rate=rate)
            if not console.is_terminal and step % max(1, stage.steps // 10) == 0:
                console.print(
                    f"train {stage.name}: step {step}/{stage.steps}, loss {loss}, {rate} tokens/s", highlight=False
                )
