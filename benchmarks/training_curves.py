"""The curves of a training, stage after stage, out of its step files.

    python benchmarks/training_curves.py RUN OUT.png

RUN is ``training.out``. Above the language loss a token of each step (faint) and its running mean; below the
load-balancing loss, whose least value is ``top_k``, and the entropy of the experts' usage, whose greatest is 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from favchat.training.stage.step_log import read_steps

WINDOW = 15
"""Steps of the running mean."""


def running_mean(values: np.ndarray) -> np.ndarray:
    """The mean over the steps before and after, fewer at the ends."""
    weights = np.ones(min(WINDOW, len(values)))
    return np.convolve(values, weights, "same") / np.convolve(np.ones(len(values)), weights, "same")


def main() -> None:
    """Draw the picture, and print each stage's steps, time and losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    files = sorted(arguments.run.glob("stages/*/steps.jsonl"), key=lambda path: path.stat().st_mtime)
    if not files:
        parser.error(f"{arguments.run} holds no training: no stages/*/steps.jsonl in it")

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    begin = 0
    print("| stage | steps | minutes | samples/s | waiting for data | first loss | last loss |")
    print("|---|---|---|---|---|---|---|")
    for number, path in enumerate(files):
        steps = read_steps(path)
        column = {name: np.array([step[name] for step in steps]) for name in steps[0]}
        loss, colour = column["language_loss"], f"C{number}"
        places = begin + column["step"]
        above.plot(places, loss, color=colour, alpha=0.25, linewidth=0.8)
        above.plot(places, running_mean(loss), color=colour, label=path.parent.name)
        below.plot(places, running_mean(column["balance_loss"]), color=colour)
        below.plot(places, running_mean(column["expert_entropy"]), color=colour, linestyle="--")
        seconds, tenth = column["seconds"], max(1, len(steps) // 10)
        print(
            f"| {path.parent.name} | {len(steps)} | {seconds.sum() / 60:.1f} "
            f"| {(column['samples_per_second'] * seconds).sum() / seconds.sum():.1f} "
            f"| {(column['waiting_share'] * seconds).sum() / seconds.sum():.1%} "
            f"| {loss[:tenth].mean():.3f} | {loss[-tenth:].mean():.3f} |"
        )
        begin += len(steps)
    above.set(ylabel="language loss a token", ylim=(0, None))
    above.legend(frameon=False)
    below.set(ylabel="balance loss, entropy (- -)", xlabel="optimiser steps", ylim=(0, None))
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
