"""Time and memory of everything that looks at all clips of a corpus, at 10^4, 10^5 and 10^6 clips.

    python benchmarks/scaling.py [--rows 10000 100000 1000000] [--steps plan dedup annotate index sample] [--out FILE]

Corpora are made up: a manifest that names one sample clip so many times, a ledger as `favchat prepare` writes it, with
random hashes of which some are copies, random labels, and annotations; the shards are empty files, for none of these
steps opens one. Each step runs in a process of its own, as a command does. Its line holds the seconds that passed, the
CPU seconds of the process and all that it started, and the most memory that the process itself held (resident, less
what it held before the step; psutil, looked at ten times a second); tasks of Ray hold theirs in other processes.

- plan: list the manifest, give every clip its split, compare with a ledger of half of them, write down what is missing
- dedup: near-duplicates among all rows, with an empty record
- annotate: the template writer, with the check, scores and selection; `--annotate-at-most` limits it
- rows: the same way through Ray Data with a writer of one row a clip, to see the driver where templates take hours
- index: of a stage's samples, as each training worker reads it
- sample: two epochs of the order of these samples
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from favchat.config import Config, SamplesConfig
from favchat.data.annotate.rows import Annotation, Writer, Written, table_of
from favchat.data.corpus.ledger import Described, _write_part
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import ANNOTATION_SCHEMA, ANNOTATIONS, LEDGER_SCHEMA, QUALITY, SHARDS
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA
from jobs.quickstart import SAMPLE

STEPS = ("plan", "dedup", "annotate", "rows", "index", "sample")
PER_SHARD = 370
"""Clips of a shard of 200 MB."""
COPIES = 0.02
"""Share of the clips that nearly equal another one."""
KNOWN, PREVALENCE = 1 / 3, 0.15
"""Share of the labels that are known, and of these that are 1."""


def clip_ids(rows: int) -> list[str]:
    """The ids of so many clips, in the order of the list."""
    return [f"clip_{number:08d}" for number in range(rows)]


def manifest(rows: int, path: Path) -> None:
    """A Parquet manifest of one sample clip under many ids, the first half of them those of the ledger to plan with."""
    video = str(next((SAMPLE / "clips").glob("*.mp4")))
    with pq.ParquetWriter(path, pa.schema([("id", pa.string()), ("video", pa.string())])) as writer:
        for start in range(0, rows, 100_000):
            ids = clip_ids(rows)[start : start + 100_000]
            writer.write_table(pa.table({"id": ids, "video": [video] * len(ids)}))


def hashes(count: int, random: np.random.Generator) -> list[str]:
    """Random hashes, of which some differ in a few bits from the one before."""
    bits = random.integers(0, 256, (count, 48), dtype=np.uint8)
    for number in np.flatnonzero(random.random(count) < COPIES):
        if number:
            bits[number] = bits[number - 1]
            bits[number, random.integers(48)] ^= 1
    return [row.tobytes().hex() for row in bits]


def ledger(rows: int, out: Path, known: float = KNOWN) -> None:
    """A ledger of so many clips in shards that are empty files; of their labels a share is known."""
    video = str(next((SAMPLE / "clips").glob("*.mp4")))
    random, ids = np.random.default_rng(0), clip_ids(rows)
    (out / SHARDS).mkdir(parents=True)
    for start in range(0, rows, 135 * PER_SHARD):  # whole shards
        some = ids[start : start + 135 * PER_SHARD]
        count = len(some)

        def labels(names: int, count: int = count) -> list[list[int | None]]:
            values = (random.random((count, names)) < PREVALENCE).astype(int)
            return np.where(random.random((count, names)) < known, values, None).tolist()

        files = [f"{SHARDS}/{(start + place) // PER_SHARD:08d}.parquet" for place in range(count)]
        columns = {
            "clip_id": some,
            "clip": some,
            "source": ["manifest"] * count,
            "video": [f"/videos/{one}.mp4" if known else video for one in some],
            "start": [0.0] * count,
            "split": ["val" if number % 10 == 0 else "train" for number in range(count)],
            "appearance": labels(len(APPEARANCE)),
            "action": labels(len(ACTION)),
            "emotion": [EMOTION[number].name if known else None for number in random.integers(0, len(EMOTION), count)],
            "emotion_segments": [[]] * count,
            "extra": labels(len(EXTRA)),
            "duration": [4.0] * count,
            "track": [0] * count,
            "tracks": [1] * count,
            "shot_start": [0.0] * count,
            "shot_end": [4.0] * count,
            **{name: random.random(count).astype(np.float32) * 100 for name in QUALITY},
            "duplicate_hash": hashes(count, random),
            "file": files,
            "row_group": [(start + place) % PER_SHARD // 64 for place in range(count)],
            "row": [(start + place) % PER_SHARD for place in range(count)],
        }
        arrays = [
            pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in LEDGER_SCHEMA
        ]
        described = {name: Described(1, time.time_ns(), rows) for name, rows in Counter(files).items()}
        for name in described:
            (out / name).write_bytes(b"x")
        _write_part(pa.Table.from_arrays(arrays, schema=LEDGER_SCHEMA), UPath(out), described)


def annotations(rows: int, out: Path) -> None:
    """One question a clip, written 100,000 rows at a time."""
    for start in range(0, rows, 100_000):
        ids = clip_ids(rows)[start : start + 100_000]
        texts = table_of([Annotation(one, "train", "qa", "Smiling?", "No.", "yes_no", "action") for one in ids])
        columns = {name: texts[name] for name in texts.column_names}
        for field in ANNOTATION_SCHEMA:
            if field.name not in columns:
                blank = (
                    [] if pa.types.is_list(field.type) else field.name == "selected" if field.type == pa.bool_() else 0
                )
                columns[field.name] = pa.array([blank] * len(ids), field.type)
        table = pa.table([columns[name] for name in ANNOTATION_SCHEMA.names], schema=ANNOTATION_SCHEMA)
        write_whole(table, UPath(out / ANNOTATIONS / f"template-{start // 100_000:05d}.parquet"))


class OneRow(Writer):
    """Writes one row about each clip."""

    name = "one"

    def write(self, rows: pa.Table, survey: object) -> Written:
        """One question about each clip."""
        pairs = zip(rows["clip_id"].to_pylist(), rows["split"].to_pylist(), strict=True)
        return Written(table_of([Annotation(one, split, "qa", "Who?", one, "open", "several") for one, split in pairs]))


@contextmanager
def measured(found: dict[str, float]) -> Iterator[None]:
    """Put seconds, CPU seconds and the peak of this process's memory into `found`."""
    process, done, peak = psutil.Process(), threading.Event(), [0]

    def look() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], process.memory_info().rss)

    before, begin = process.memory_info().rss, time.monotonic()
    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    spent = cpu_seconds()
    try:
        yield
    finally:
        done.set()
        watch.join()
    found |= {
        "seconds": time.monotonic() - begin,
        "cpu": cpu_seconds() - spent,
        "peak": max(peak[0], process.memory_info().rss) / 1e6,
        "grown": (max(peak[0], process.memory_info().rss) - before) / 1e6,
    }


def cpu_seconds() -> float:
    """CPU seconds of this process and of all that it started and that still run."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.Error:
            continue
    return total


def config_of(work: Path, rows: int) -> Config:
    """The configuration of a made-up corpus."""
    config = Config()
    config.data.source.kind, config.data.source.path = "manifest", str(work / f"{rows}.parquet")
    config.data.out, config.data.splits = str(work / f"corpus{rows}"), {"train": 0.9, "val": 0.1}
    return config


def step(name: str, work: Path, rows: int) -> dict[str, float]:
    """Run one step in this process: its seconds, memory and more."""
    from favchat.runtime import ray_cluster
    from favchat.runtime.environment import quiet_environment

    quiet_environment()
    config = config_of(work, rows)
    out = UPath(config.data.out or "")
    found: dict[str, float] = {}
    if name in ("plan", "dedup", "annotate", "rows") and rows > 2_000:
        ray_cluster.start(config.ray)
    if name == "plan":
        from favchat.data.prepare.listed import listed_clips
        from favchat.data.prepare.resume import find_missing
        from favchat.data.sources import list_clips

        with measured(found):
            listed = listed_clips(list_clips(config.data.source), config.data, 0)
            missing = find_missing(UPath(work / f"half{rows}"), listed)
        found["missing"] = missing.clips.rows
    elif name == "dedup":
        from favchat.data.prepare.clip_plan import ClipList
        from favchat.data.prepare.listed import LISTED_SCHEMA
        from favchat.data.prepare.near_duplicates import RECORD, apply_dedup

        with measured(found):
            apply_dedup(out, ClipList(0, [LISTED_SCHEMA.empty_table()]), drop=False)
        record = pq.read_table(out / RECORD, columns=["duplicate_of"])["duplicate_of"]
        found["copies"] = len(record) - record.null_count
        (out / RECORD).unlink()
    elif name in ("annotate", "rows"):
        from favchat.data.annotate.pipeline import annotate

        with measured(found):
            result = annotate(config, OneRow() if name == "rows" else None)
        found["rows"] = result.counts.rows
        found["bytes"] = sum(file.stat().st_size for file in result.files)
        for file in result.files:
            file.unlink()
    else:
        from favchat.training.batches.index import read_index
        from favchat.training.batches.sample_order import BatchSchedule, Samples

        with measured(found if name == "index" else {}):
            index = read_index(str(out), [SamplesConfig(task="qa", split="train")], "train")
        found["samples"] = len(index.sample_clip)
        if name == "sample":
            with measured(found):
                samples = Samples(index.sample_clip, index.clip_group, index.parts)
                schedule = BatchSchedule(samples, seed=0, batch_size=32)
                for number in range(0, 2 * schedule.steps_per_epoch, 1 + schedule.steps_per_epoch // 50):
                    schedule.batch(number)
    return found


def make(work: Path, rows: int) -> None:
    """Make the corpus of so many clips up: its ledger holds all; the one to plan with holds half of them."""
    config = config_of(work, rows)
    manifest(rows, Path(config.data.source.path or ""))
    ledger(rows // 2, work / f"half{rows}", known=0)
    ledger(rows, Path(config.data.out or ""))
    annotations(rows, Path(config.data.out or ""))


def line(name: str, rows: int, work: Path) -> tuple[str, dict[str, float]]:
    """Run a step in a process of its own; its line of the table."""
    command = [sys.executable, __file__, "--one", name, str(rows), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} of {rows:,} clips failed:\n{done.stderr[-4000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    more = [f"{value:,.0f} {key}" for key, value in found.items() if key not in ("seconds", "cpu", "peak", "grown")]
    cells = [name, f"{rows:,}", f"{found['seconds']:.1f}", f"{found['cpu']:.1f}", f"{1e6 * found['cpu'] / rows:.0f}"]
    cells += [f"{found['peak']:.0f}", f"{found['grown']:.0f}", ", ".join(more)]
    return f"| {' | '.join(cells)} |", found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000], help="clips of a corpus")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--annotate-at-most", type=int, default=20_000, help="clips that the template writer gets")
    parser.add_argument("--work", type=Path, help="folder for the corpora; they stay there")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, rows, work = arguments.one
        print(json.dumps(step(name, Path(work), int(rows))))
        return
    load = os.getloadavg()[0]
    lines = [
        "# Everything that looks at all clips",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB, Python {platform.python_version()}, ray {version('ray')}, "
        f"pyarrow {version('pyarrow')}; load of the machine before the run: {load:.1f}.",
        "",
        "| step | clips | s | CPU s, all processes | CPU us a clip | driver's peak (MB) | of it in the step (MB) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(exist_ok=True)
        for rows in arguments.rows:
            if not (work / f"{rows}.parquet").exists():
                make(work, rows)
            size = sum(file.stat().st_size for file in (work / f"corpus{rows}" / "ledger").iterdir()) / rows
            for name in arguments.steps:
                if name == "annotate" and rows > arguments.annotate_at_most:
                    continue
                lines.append(line(name, rows, work)[0])
                print(lines[-1], flush=True)
            sizes.append(f"{size:.0f} bytes a clip at {rows:,}")
    lines += [
        "",
        f"The ledger takes {', '.join(sizes)}.",
        "",
        f"`python benchmarks/scaling.py {' '.join(sys.argv[1:])}`",
    ]
    print("\n".join(lines[-4:]))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
