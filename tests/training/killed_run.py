"""Run by test_curriculum.py: a training that is hit by death.

In the second stage one of the workers kills itself after three steps, once. After five both stop, for the whole job to
be killed.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import ray

from favchat.config import load
from favchat.training import curriculum
from favchat.training.batches.batch import Batch
from favchat.training.batches.stage_source import StageSource
from jobs.commands.settings import CONFIGS

STEPS_BEFORE_DEATH = 3
STEPS_BEFORE_STOP = 5


class DeadlySource(StageSource):
    def batches(self, rank: int, workers: int, start_step: int) -> Iterator[Batch]:
        notes = Path(self.config.training.out or "", f"starts-{self.stage.name}-{rank}.txt")
        notes.parent.mkdir(parents=True, exist_ok=True)
        first = not notes.exists()
        with notes.open("a") as file:
            file.write(f"{start_step}\n")
        for step, batch in enumerate(super().batches(rank, workers, start_step), start_step):
            if step == STEPS_BEFORE_DEATH and first and rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if step == STEPS_BEFORE_STOP:
                time.sleep(600)
            yield batch


def main(address: str, words: list[str]) -> None:
    ray.init(address=address, log_to_driver=False)
    curriculum.StageSource = DeadlySource
    curriculum.train(load(CONFIGS / "tiny.yaml", words))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
