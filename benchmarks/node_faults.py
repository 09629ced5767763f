"""Take a node away from a Ray cluster while a command works on it, put another in its place, and compare the end.

    python benchmarks/node_faults.py FOLDER [prepare annotate train tune serve] [--out RESULT.md]

The cluster (`ray.cluster_utils.Cluster`) has a head without CPUs and one node with two, so that all work is on the node
that goes: its processes are killed, with whatever they held in memory. Another node with two CPUs comes right after.
Each command is run twice, once undisturbed; the corpus of the sample clips is made first. To be annotated it is
multiplied, because a few clips are annotated by the command itself. Prints Markdown: what was killed, what happened,
what differs at the end. Ends with status 1 where something does.
"""

from __future__ import annotations

import argparse
import base64
import csv
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pyarrow as pa
from ray.cluster_utils import Cluster
from safetensors.torch import load_file
from upath import UPath

from benchmarks.pipeline_kills import rows
from favchat.data.annotate.cohorts import COHORT
from favchat.data.corpus.ledger import write_rows
from favchat.data.corpus.parquet_files import read_folder
from favchat.data.corpus.schema import ANNOTATIONS, SHARD_SCHEMA, SHARDS
from favchat.runtime.environment import quiet_environment
from jobs.quickstart import SAMPLE

CPUS = 2
PORT = 8123
SHARD_CLIPS = 1000
"""Clips of a shard of the corpus that is annotated."""
MEASURED = {"seconds", "step_seconds", "memory_gb"}
"""Columns of a sweep's table that differ from run to run."""


@contextmanager
def cluster_of_two() -> Iterator[Cluster]:
    """A head, and the node that does the work."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=CPUS)
        yield cluster
    finally:
        cluster.shutdown()


def take_away(cluster: Cluster) -> None:
    """Kill the node's processes, and put another node in its place."""
    (node,) = cluster.worker_nodes
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=CPUS)


def started(cluster: Cluster, log: Path, command: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """A favchat command on the cluster."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    line = [sys.executable, "-m", "jobs.cli", command, "tiny", *words]
    with log.open("ab") as file:
        return subprocess.Popen(line, env=environment, stdout=file, stderr=subprocess.STDOUT)


def command(log: Path, name: str, words: Sequence[str], due: Callable[[Cluster], bool] | None = None) -> str:
    """Run a command to its end, and take its node away when it is due: what happened.

    Raises:
        RuntimeError: The command failed; the message holds the end of its log.
    """
    happened, began = "nothing was taken away", time.monotonic()
    with cluster_of_two() as cluster:
        process = started(cluster, log, name, words)
        while process.poll() is None:
            if due and due(cluster):
                take_away(cluster)
                happened, due = f"node killed {time.monotonic() - began:.0f} s after the start", None
            time.sleep(0.05)
        if process.returncode:
            raise RuntimeError(f"{name} failed ({happened}): {log.read_text(errors='replace')[-3000:]}")
    return f"{happened}, done after {time.monotonic() - began:.0f} s"


def working(title: str, seconds: float) -> Callable[[Cluster], bool]:
    """Due so many seconds after the node has a process of that title."""
    since: list[float] = []

    def due(cluster: Cluster) -> bool:
        if not since:
            (node,) = cluster.worker_nodes
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            since.extend([time.monotonic()] if any(title in name for name in titles(raylet)) else [])
        return bool(since) and time.monotonic() > since[0] + seconds

    return due


def titles(process: psutil.Process) -> list[str]:
    """What the processes below one call themselves, except those that are ending."""
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            found.append(" ".join(child.cmdline()))
    return found


def appeared(folder: Path, pattern: str) -> Callable[[Cluster], bool]:
    """Due when a file or folder is there."""
    return lambda _: any(folder.glob(pattern))


def settings(folder: Path, *words: str) -> list[str]:
    """The sample clips; the corpus and all that is made of it lie in the folder."""
    return [
        "data.source.kind=celebv_hq",
        f"data.source.path={SAMPLE / 'clips'}",
        f"data.source.annotations={SAMPLE / 'annotations.json'}",
        f"data.out={folder / 'corpus'}",
        "data.frames.fps=2",
        "data.frames.max_frames=6",
        "data.clips_per_shard=4",
        "training.checkpoint_every=2",
        f"training.out={folder / 'run'}",
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}",
        *words,
    ]


def tables(one: Path, two: Path, *names: str) -> str:
    """How two corpora differ; empty where they do not."""
    found = []
    for name in names:
        before, after = rows(one / name), rows(two / name)
        unequal = [key for key in before.column_names if len(before) != len(after) or before[key] != after[key]]
        found += [f"{name}: {', '.join(unequal)}"] if unequal else []
    return "; ".join(found)


def prepare(folder: Path) -> tuple[str, str]:
    """The detectors' node."""
    place = folder / "prepare"
    happened = command(place / "log.txt", "prepare", settings(place), working("ClipProcessor", 4))
    return happened, tables(folder / "corpus", place / "corpus", "shards", "rejects")


def multiply(corpus: Path, out: Path, clips: int) -> None:
    """A corpus of at least so many clips: those of another one under many names, with one picture each."""
    rows = read_folder(UPath(corpus / SHARDS), SHARD_SCHEMA.names)
    for name in ("frames", "faces"):
        place, field = rows.column_names.index(name), SHARD_SCHEMA.field(name)
        rows = rows.set_column(place, field, pa.array([images[:1] for images in rows[name].to_pylist()], field.type))
    ids = rows["clip_id"].to_pylist()
    for first in range(0, clips, SHARD_CLIPS):
        numbers = range(first, min(first + SHARD_CLIPS, clips), len(ids))
        some = pa.concat_tables([rows] * len(numbers)).cast(SHARD_SCHEMA)
        names = pa.array([f"{number}-{one}" for number in numbers for one in ids])
        write_rows(some.set_column(0, SHARD_SCHEMA.field(0), names), UPath(out), SHARDS)


def annotate(folder: Path) -> tuple[str, str]:
    """The node of the tasks that write cohorts."""
    place, corpora = folder / "annotate", []
    for name in ("whole", "killed"):
        corpora.append(place / name)
        if not corpora[-1].is_dir():
            multiply(folder / "corpus", corpora[-1], COHORT + COHORT // 2)
    begun = [[f"data.out={corpus}", f"tracking.uri=sqlite:///{place / 'mlflow.db'}"] for corpus in corpora]
    if not (corpora[0] / ANNOTATIONS).is_dir():
        command(place / "log.txt", "annotate", begun[0])
    happened = command(place / "log.txt", "annotate", begun[1], working("MapBatches", 15))
    return happened, tables(*corpora, ANNOTATIONS)


def trained(folder: Path, due: Callable[[Cluster], bool] | None = None) -> str:
    """Train on the corpus, unless that is done: what happened."""
    if (folder / "run" / "model").is_dir():
        return ""
    words = settings(folder, f"data.out={folder.parent.parent / 'corpus'}")
    return command(folder / "log.txt", "train", words, due)


def train(folder: Path) -> tuple[str, str]:
    """The training worker's node."""
    place = folder / "train"
    trained(place / "whole")
    happened = trained(place / "killed", appeared(place / "killed", "run/stages/*/checkpoints/step*"))
    one, two = (load_file(place / name / "run" / "model" / "model.safetensors") for name in ("whole", "killed"))
    worst = max(float((one[name].float() - two[name].float()).abs().max()) for name in one)
    return happened, f"weights differ by {worst:.2g}" if worst else ""


def tune(folder: Path) -> tuple[str, str]:
    """The node of the trials and their workers."""
    place = folder / "tune"
    words = ["tune.num_experts=[2,4]", "tune.top_k=[1]", "tune.max_concurrent=1"]
    found = []
    for name, pattern in (("whole", None), ("killed", "trials/*/stages/*/checkpoints/step*")):
        out = place / name
        sweep = settings(out, f"data.out={folder / 'corpus'}", f"tune.out={out}", *words)
        if pattern or not (out / "results.csv").is_file():
            happened = command(place / f"{name}.txt", "tune", sweep, appeared(out, pattern) if pattern else None)
        with (out / "results.csv").open() as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["trial"])
        found.append([{key: value for key, value in row.items() if key not in MEASURED} for row in rows])
    pairs = zip(*found, strict=True)
    unequal = [
        f"{one['trial']}: {key} {one[key]}, {two[key]}" for one, two in pairs for key in one if one[key] != two[key]
    ]
    return happened, "; ".join(unequal)


def serve(folder: Path) -> tuple[str, str]:
    """The node of all replicas, while a client asks again and again."""
    trained(folder / "train" / "whole")
    model = folder / "train" / "whole" / "run" / "model"
    words = [f"serve.model={model}", f"serve.store={folder / 'serve' / 'store'}", f"serve.port={PORT}"]
    video = base64.b64encode((SAMPLE / "clips" / "pexels_0.mp4").read_bytes()).decode()
    content = [
        {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{video}"}},
        {"type": "text", "text": "Is the person smiling?"},
    ]
    body = {"model": "favchat", "messages": [{"role": "user", "content": content}], "max_tokens": 8}
    with cluster_of_two() as cluster, httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=120) as client:
        process = started(cluster, folder / "serve" / "log.txt", "serve", settings(folder / "serve", *words))
        try:
            before = answered(client, body, process)[-1]
            began = time.monotonic()
            take_away(cluster)
            said = answered(client, body, process)
            seconds = time.monotonic() - began
        finally:
            process.terminate()
            process.wait(120)
    statuses = [one.partition(":")[0] for one in said]
    seen = ", ".join(f"{statuses.count(status)} x {status}" for status in dict.fromkeys(statuses))
    return f"node killed; then {seen}; answered again after {seconds:.0f} s", (
        "" if said[-1] == before else f"{said[-1]!r} and {before!r}"
    )


def answered(client: httpx.Client, body: dict[str, object], process: subprocess.Popen[bytes]) -> list[str]:
    """Ask until there is an answer: what came each time.

    Raises:
        RuntimeError: None comes within ten minutes, or the server has ended.
    """
    said, deadline = [asked(client, body)], time.monotonic() + 600
    while not said[-1].startswith("200"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no answer: {said[-5:]}")
        time.sleep(0.5)
        said.append(asked(client, body))
    return said


def asked(client: httpx.Client, body: dict[str, object]) -> str:
    """The status of an answer, and what it says."""
    try:
        answer = client.post("/v1/chat/completions", json=body)
    except httpx.HTTPError as error:
        return f"no answer ({type(error).__name__})"
    if answer.status_code != 200:
        return str(answer.status_code)
    return f"200: {answer.json()['choices'][0]['message']['content']}"


DRILLS = {"prepare": prepare, "annotate": annotate, "train": train, "tune": tune, "serve": serve}


def main() -> None:
    """Run the drills and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="An empty folder.")
    parser.add_argument("drills", nargs="*", help=f"Of {', '.join(DRILLS)}; by default all.")
    parser.add_argument("--out", type=Path, help="File for the result.")
    words = parser.parse_args()
    unknown = set(words.drills) - DRILLS.keys()
    if unknown:
        parser.error(f"no such drill: {', '.join(sorted(unknown))}")
    quiet_environment()
    os.environ |= {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
    folder = words.folder.absolute()
    if not (folder / "corpus" / "annotations").is_dir():
        for name in ("prepare", "annotate"):
            command(folder / "log.txt", name, settings(folder))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [f"# A node taken away\n\n{datetime.now(UTC):%Y-%m-%d}, {machine}: `benchmarks/node_faults.py FOLDER`.\n"]
    lines += ["| job | what was killed and what happened | what differs from an undisturbed one |", "|---|---|---|"]
    wrong = False
    for name in words.drills or DRILLS:
        happened, differs = DRILLS[name](folder)
        wrong |= bool(differs) or not happened.startswith("node killed")
        lines.append(f"| {name} | {DRILLS[name].__doc__ or ''} {happened} | {differs or 'nothing'} |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if words.out:
        words.out.write_text(text)
    raise SystemExit(wrong)


if __name__ == "__main__":
    main()
