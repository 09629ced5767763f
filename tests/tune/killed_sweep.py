"""Used by test_sweep.py: a sweep whose first trial is hit by every kind of death, one after the other.

Run by itself it stops in the middle of that trial, for the sweep to be killed. The one who goes on with it takes
`run_trial` from here too: then the worker kills itself, and then it kills the trial's own process.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

import tune.sweep
from favchat.config import load
from favchat.training import curriculum
from favchat.training.batches.batch import Batch
from favchat.training.batches.stage_source import StageSource
from jobs.commands.settings import CONFIGS
from tune.space import chosen
from tune.trial import Sweep, trial_folder
from tune.trial import run_trial as undisturbed

VICTIM = "num_experts2-top_k2"
SWEEP_STOPS, WORKER_DIES, TRIAL_DIES = 2, 3, 4
"""Steps that are taken before."""


class DeadlySource(StageSource):
    def batches(self, rank: int, workers: int, start_step: int) -> Iterator[Batch]:
        folder = Path(self.config.training.out or "")
        with (folder / "starts.txt").open("a+") as file:
            file.write(f"{start_step}\n")
            file.seek(0)
            starts = len(file.readlines())
        for step, batch in enumerate(super().batches(rank, workers, start_step), start_step):
            if (starts, step) == (1, SWEEP_STOPS):
                time.sleep(600)
            if (starts, step) == (2, WORKER_DIES):
                os.kill(os.getpid(), signal.SIGKILL)
            if (starts, step) == (3, TRIAL_DIES):
                os.kill(int((folder / "pid.txt").read_text()), signal.SIGKILL)
                time.sleep(600)
            yield batch


def run_trial(parameters: dict[str, Any], sweep: Sweep) -> None:
    point = chosen(parameters)
    if point.name == VICTIM:
        folder = trial_folder(sweep.config, point)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pid.txt").write_text(str(os.getpid()))
        curriculum.StageSource = DeadlySource
    undisturbed(parameters, sweep)


def main(address: str, words: list[str]) -> None:
    ray.init(address=address, log_to_driver=False)
    tune.sweep.run_trial = run_trial
    tune.sweep.run(load(CONFIGS / "tiny.yaml", words))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
