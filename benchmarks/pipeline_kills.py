"""Kill a pipeline with -9 at random moments, start it again, and compare its end with that of an undisturbed one.

    python benchmarks/pipeline_kills.py FOLDER [--kills 10] [--seed 0] [--out RESULT.md] [SECTION.KEY=VALUE ...]

The tiny model on the sample clips: `favchat pipeline` runs once to its end, then in another folder it is killed and
started again so many times before it may end. The kills are shared evenly among the steps, from the first to the last;
the moment within the step is drawn from the time that it took undisturbed. The command's process alone gets the signal,
and the next one starts at once, while Ray's processes of the one before may still be ending.

Compared are the rows of shards and rejects with their pixels, the annotations, the weights, every metric of the
evaluation and the versions in the registry. Prints Markdown: what each kill met, and what differs. Ends with status 1
where something does.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import torch
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

from favchat.data.corpus.parquet_files import parquet_files
from favchat.io.paths import path_of
from jobs.pipeline.record import Record
from jobs.pipeline.register import evaluation_metrics
from jobs.quickstart import SAMPLE

MODEL = "drill"
QUICK = [
    "data.frames.fps=2",
    "data.frames.max_frames=6",
    "training.stages.0.steps=8",
    "training.stages.1.steps=8",
    "training.checkpoint_every=2",
    "evaluation.tasks=[questions]",
    "evaluation.ways=[likelihood]",
    "evaluation.resamples=100",
    "evaluation.batch_clips=2",
]
"""Seconds a step, several checkpoints a stage and several batches of the evaluation."""


def start(folder: Path, more: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start the pipeline in a process of its own."""
    words = [
        f"pipeline.out={folder}",
        "data.source.kind=celebv_hq",
        f"data.source.path={SAMPLE / 'clips'}",
        f"data.source.annotations={SAMPLE / 'annotations.json'}",
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
        f"tracking.registered_model={MODEL}",
        *QUICK,
        *more,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0", **os.environ}
    with (folder / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "jobs.cli", "pipeline", "tiny", *words]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def finish(folder: Path, more: Sequence[str] = ()) -> float:
    """Run the pipeline to its end: the seconds that it took.

    Raises:
        RuntimeError: It failed; the message holds the end of its log.
    """
    began = time.monotonic()
    if start(folder, more).wait():
        raise RuntimeError(f"the pipeline failed: {(folder / 'log.txt').read_text(errors='replace')[-3000:]}")
    return time.monotonic() - began


def kill(folder: Path, step: str, seconds: float, more: Sequence[str] = ()) -> str:
    """Start the pipeline and kill it so many seconds after it began a step: what it was at by then."""
    process = start(folder, more)
    while process.poll() is None and step not in Record(folder).steps:
        time.sleep(0.05)
    try:
        process.wait(seconds)
        return "the end"
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    under_way = [name for name, found in Record(folder).steps.items() if not found.done]
    return under_way[0] if under_way else f"after {list(Record(folder).steps)[-1]}"


def seconds_of(folder: Path) -> dict[str, float]:
    """How long each step took, from the end of the one before; the first one from the start of the log."""
    ended = {name: datetime.fromisoformat(step.ended or "").timestamp() for name, step in Record(folder).steps.items()}
    began = [(folder / "began").stat().st_mtime, *ended.values()]
    return {name: max(1.0, end - begin) for (name, end), begin in zip(ended.items(), began, strict=False)}


def rows(folder: Path) -> pa.Table:
    """All rows of a folder of Parquet files, in an order that does not depend on its files."""
    files = [pa.parquet.read_table(str(file), partitioning=None) for file in parquet_files(path_of(str(folder)))]
    table = pa.concat_tables(files).combine_chunks()
    keys = [key for key in ("clip_id", "track", "task", "question", "answer") if key in table.column_names]
    return table.sort_by([(key, "ascending") for key in keys])


def differences(whole: Path, other: Path) -> dict[str, str]:
    """What is compared -> how the two differ, empty where they do not."""
    found = {}
    for name in ("shards", "rejects", "annotations"):
        one, two = (rows(folder / "corpus" / name) for folder in (whole, other))
        unequal = [column for column in one.column_names if one[column] != two[column]] if len(one) == len(two) else []
        lengths = f"{len(two)} rows for {len(one)}" if len(one) != len(two) else ""
        found[name] = lengths or ", ".join(unequal)
    one, two = (load_file(folder / "run" / "model" / "model.safetensors") for folder in (whole, other))
    worst = max(float((one[name].float() - two[name].float()).abs().max()) for name in one)
    found["weights"] = (
        f"by at most {worst:.2g}" if worst or not all(map(torch.equal, one.values(), two.values())) else ""
    )
    before, after = (evaluation_metrics(str(folder / "evaluation")) for folder in (whole, other))
    names = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    found["metrics"] = ", ".join(f"{name} {before.get(name)} {after.get(name)}" for name in sorted(names))
    versions = MlflowClient(tracking_uri=f"sqlite:///{other}/mlflow.db").search_model_versions(f"name = '{MODEL}'")
    found["versions in the registry"] = "" if len(versions) == 1 else f"{len(versions)} for 1"
    return found


def drill(folder: Path, kills: int, seed: int, more: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Kill a pipeline so often: what each kill met, and what differs at the end."""
    draw = random.Random(seed)
    whole, other = folder / "whole", folder / "killed"
    whole.mkdir(parents=True, exist_ok=True)
    (whole / "began").touch()
    steps = [f"undisturbed: {finish(whole, more):.0f} s"]
    took = seconds_of(whole)
    for number in range(kills):
        step = list(took)[(2 * number + 1) * len(took) // (2 * kills)]  # spread over the steps
        after = draw.uniform(0, took[step])
        met = kill(other, step, after, more)
        steps.append(f"kill {number + 1}, {after:.1f} s after {step} had begun: at {met}")
        print(steps[-1], flush=True)
    steps.append(f"then to the end: {finish(other, more):.0f} s")
    return steps, differences(whole, other)


def main() -> None:
    """Run the drill and print its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="An empty folder for both.")
    parser.add_argument("settings", nargs="*", help="Settings that override those of the drill.")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="Of the moments.")
    parser.add_argument("--out", type=Path, help="File for the result.")
    words = parser.parse_args()
    steps, differ = drill(words.folder.absolute(), words.kills, words.seed, words.settings)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    said = f"{datetime.now(UTC):%Y-%m-%d}, {machine}: `benchmarks/pipeline_kills.py FOLDER --kills {words.kills}`, "
    lines = [f"# A pipeline killed {words.kills} times", "", f"{said}seed {words.seed}.", ""]
    lines += [*(f"- {step}" for step in steps), "", "| compared | difference |", "|---|---|"]
    lines += [f"| {name} | {difference or 'none'} |" for name, difference in differ.items()]
    text = "\n".join(lines) + "\n"
    print(text)
    if words.out:
        words.out.write_text(text)
    raise SystemExit(any(differ.values()))


if __name__ == "__main__":
    main()
