"""What a sweep takes, against running its trials one after another with `favchat train`, each from cold caches.

    python benchmarks/sweeps.py CORPUS [--config experts] [--set SECTION.KEY=VALUE ...] [--single N] [--out FILE]

CORPUS is a prepared and annotated corpus; a copy without its cached features is worked on. The same combinations are
trained three ways, one way after the other: by `favchat train`, a process with a Ray of its own each, the features of
the frozen encoders computed anew every time; by `favchat tune`; and by benchmarks/experts.py in one process without
Ray, which also measures each trial by an evaluation. With `--single N` the first way trains N of them alone, and its
times are those of N taken for all: each of its trainings does the same work anew. CPU time is that of all processes,
Ray's included, looked at four times a second. The sweep's trials end with the losses of the single runs, or the
benchmark fails.

The file is not called after the package `tune`: it would be found in its place by every script beside it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import yaml

from favchat.config import Config, load
from favchat.training.stage.job import REPORTS
from favchat.training.stage.step_log import main_loss, read_steps
from jobs.commands.settings import CONFIGS
from tune.space import Point, decode, grid

LOOK_S = 0.25
QUALITY = "celebv_hq_attributes/scores/all/uar"
SMALL = [
    "training.stages.0.steps=20",
    "training.stages.0.batch_size=8",
    "training.val_batches=0",
    "tune.num_experts=[2,4]",
    "tune.top_k=[1,2]",
    "tune.seeds=1",
    "tune.reports=1",
    "tune.metric=attribute_loss",
]
"""Four short trials."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): processes whose parents have ended are this one's children, and counted."""


@dataclass(frozen=True)
class Taken:
    """What one way took, in seconds."""

    wall: float
    cpu: float

    def times(self, factor: float) -> Taken:
        """So many times as much."""
        return Taken(factor * self.wall, factor * self.cpu)


class Watched:
    """Wall time, and the CPU time of all processes below this one, while the block runs."""

    def __enter__(self) -> Watched:
        self._seen: dict[tuple[int, float], float] = {}
        self._began, self._over = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        wall = time.monotonic() - self._began
        # Ray's own processes end after the command that started them.
        deadline = time.monotonic() + 30
        while _alive() and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        self._over.set()
        self._thread.join()
        self.taken = Taken(wall, sum(self._seen.values()))

    def _watch(self) -> None:
        while not self._over.is_set():
            for process in _below():
                try:
                    times = process.cpu_times()
                    self._seen[process.pid, process.create_time()] = times.user + times.system
                except psutil.Error:
                    continue
            self._over.wait(LOOK_S)


def _below() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _alive() -> bool:
    try:
        return any(process.status() != psutil.STATUS_ZOMBIE for process in _below())
    except psutil.Error:
        return True


def run(*words: str) -> None:
    """Run a command; its output is shown where it fails."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with status {done.returncode}:\n{done.stdout}\n{done.stderr}")


def one_after_another(config: Config, points: list[Point], folder: Path, corpus: Path) -> None:
    """`favchat train` for each combination, from cold caches."""
    for point in points:
        chosen = folder / f"{point.name}.yaml"
        settings = point.apply(config).model_dump(mode="json", exclude={"tune"})
        settings["training"]["reports"] = config.tune.reports
        chosen.write_text(yaml.safe_dump(settings))
        forget(corpus)
        run("-m", "jobs.cli", "train", str(chosen), f"training.out={folder / 'trials' / point.name}")


def forget(corpus: Path) -> None:
    """Remove the cached features."""
    shutil.rmtree(corpus / "features", ignore_errors=True)


def last_losses(folder: Path, config: Config, points: list[Point]) -> list[float]:
    """Each combination's loss at its last report."""
    stages = [folder / "trials" / point.name / "stages" / config.training.stages[-1].name for point in points]
    return [main_loss(read_steps(stage / REPORTS)[-1]) for stage in stages]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--config", default="experts", help="a YAML file, or a preset's name")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="SECTION.KEY=VALUE", help="after those that make it small"
    )
    parser.add_argument("--single", type=int, help="train so many of the trials singly and count them for all")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    if arguments.single is not None and arguments.single < 1:
        parser.error("--single: at least 1")
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        corpus = work / "corpus"
        shutil.copytree(arguments.corpus, corpus, ignore=shutil.ignore_patterns("features"))
        words = [*SMALL, *arguments.set, f"data.out={corpus}", f"tracking.uri=sqlite:///{work}/mlflow.db"]
        config = load(arguments.config, words, presets=CONFIGS)
        points = [decode(text) for text in grid(config)["point"]["grid_search"]]
        alone = points[: arguments.single]
        taken = {}
        with Watched() as single:
            one_after_another(config, alone, work, corpus)
        base = single.taken.times(len(points) / len(alone))
        taken["`favchat train`, one after another"] = base
        forget(corpus)
        with Watched() as swept:
            run("-m", "jobs.cli", "tune", arguments.config, *words, f"tune.out={work / 'sweep'}")
        taken["`favchat tune`"] = swept.taken
        found, wanted = (last_losses(folder, config, alone) for folder in (work / "sweep", work))
        if found != wanted:
            raise SystemExit(f"the sweep's trials end with the losses {found}, the single runs with {wanted}")
        forget(corpus)
        script = str(Path(__file__).with_name("experts.py"))
        sets = [word for word in words if not word.startswith(("data.out=", "tune.metric="))]
        with Watched() as whole:
            run(script, str(corpus), str(work / "process"), "--config", arguments.config, "--set", *sets,
                f"tune.metric={QUALITY}", "evaluation.resamples=100")  # fmt: skip
        taken["`benchmarks/experts.py`, evaluations included"] = whole.taken
    last = {word.partition("=")[0]: word for word in [*SMALL, *arguments.set]}
    settings = ", ".join(f"`{word}`" for word in last.values())
    lines = [
        "# A sweep against its trials one after another",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, torch {version('torch')}, ray {version('ray')}. {len(points)} trials of "
        f"`{Path(arguments.config).stem}` with {settings}. Cold caches before each single training and before each of "
        "the other ways; the sweep's last losses are those of the single trainings."
        + (f" {len(alone)} were trained singly, and count for all." if len(alone) < len(points) else ""),
        "",
        "| way | wall (s) | CPU (s) | wall to one after another | CPU to one after another |",
        "|---|---|---|---|---|",
    ]
    for way, one in taken.items():
        cells = [f"{one.wall:.0f}", f"{one.cpu:.0f}", f"{one.wall / base.wall:.2f}x", f"{one.cpu / base.cpu:.2f}x"]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
