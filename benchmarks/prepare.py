"""`favchat prepare` against its limit and against a plain script: speed, memory, and how both grow.

    python benchmarks/prepare.py [CONFIG] [SECTION.KEY=VALUE]... [--videos PATH...] [--clips N...] [--naive N]
        [--out RESULT.md]

CONFIG is a preset or a YAML file, by default nano. The clips, by default the sample clips of the package, are repeated
under new names (links) to the numbers asked for; near-duplicates are therefore kept. Four contestants do the same:

- the Ray Data job: `favchat.data.prepare.pipeline.prepare` on a local Ray, for each number of clips in a process of
  its own;
- bare processes: one a core, each with its own share of the clips, `clip_rows` and shards written as the job writes
  them, and nothing else: no queue, no order, no retries, no record of what is done;
- decoding alone: the same processes, but only `read_frames`;
- the naive script: one process that decodes every frame with OpenCV, finds and aligns the faces of each with the same
  detector on as many threads as the machine has cores, and writes the frame and its main face as JPEG files of the
  same size and quality as the job's. It reads the first clips of the list alone.

Speed is that of the steady state: the clips finished while all processes were at work, from the moment when the last
of them had done its first clip to the moment when the first of them had done its last, over the seconds between. The
starts of Ray and of processes, the loading of the detector and the check at the end are not in it; writing shards is.
The naive script has no such phases: all its clips, over its seconds once the detector is loaded. "Whole" is the time of
`prepare` from its call to its return, Ray being up. Memory is the sum of the proportional set sizes of the driver, Ray
and all workers, looked at every three seconds: it counts the object store, and shared pages once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pyarrow as pa
import ray

from favchat.config import Config, DataConfig, load
from favchat.data.corpus.parquet_files import name_for, write_whole
from favchat.data.corpus.schema import CLIP_SCHEMA, SHARD_SCHEMA
from favchat.data.prepare.clip_rows import clip_rows
from favchat.data.prepare.pipeline import prepare
from favchat.runtime import ray_cluster
from favchat.runtime.environment import quiet_environment
from favchat.video import CenterFaceDetector, ClipSpecification, Detections, align_face, read_frames
from favchat.video.decode import fit_size
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE

CORES = os.cpu_count() or 1
SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg"}
LOOK_S = 3.0
"""Seconds between two looks at the memory, which take time themselves."""
NEW_PROCESS = partial(ProcessPoolExecutor, max_workers=1, mp_context=multiprocessing.get_context("spawn"))


@dataclass(frozen=True)
class Speed:
    """Clips and frames a second."""

    clips: float
    frames: float


@dataclass(frozen=True)
class Job:
    """What one run of the Ray Data job took."""

    clips: int
    seconds: float
    speed: Speed
    idle: float
    peak: float


class StampedDetector:
    """The specification's detector, which notes when it was done with a clip's frames, and how many there were."""

    def __init__(self, stamps: Path, settings: DataConfig) -> None:
        self._stamps = stamps
        self._detector = ClipSpecification.of(settings).make_detector(threads=1)

    def detect(self, images: np.ndarray) -> list[Detections]:
        """Find the faces; see `FaceDetector`."""
        found = self._detector.detect(images)
        if images.any():  # the check before the first clip shows a black picture
            stamp(self._stamps, len(images))
        return found


def stamp(folder: Path, frames: int) -> None:
    """Note that this process is done with a clip."""
    with open(folder / f"{os.getpid()}.txt", "a") as file:
        file.write(f"{time.monotonic()} {frames}\n")  # the clock is one for all processes


def steady(folder: Path) -> Speed:
    """The speed while all processes that left stamps were at work."""
    stamps = [np.loadtxt(file, ndmin=2) for file in sorted(folder.iterdir())]
    begin, end = max(times[0, 0] for times in stamps), min(times[-1, 0] for times in stamps)
    if end <= begin:
        raise SystemExit(f"{sum(map(len, stamps))} clips are too few for {len(stamps)} processes: ask for more --clips")
    inside = np.concatenate([times[(times[:, 0] > begin) & (times[:, 0] <= end)] for times in stamps])
    return Speed(len(inside) / (end - begin), float(inside[:, 1].sum()) / (end - begin))


class Memory:
    """The peak memory of this process and all below it, in bytes, while the block runs."""

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(LOOK_S):
            self.peak = max(self.peak, memory())


def memory() -> int:
    """Bytes that this process and all below it take, a page that several share counted once."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it ended meanwhile
            continue
    return total


def repeated(videos: list[Path], count: int, folder: Path) -> list[Path]:
    """Links to the videos, over and over, under `count` names."""
    folder.mkdir()
    links = [folder / f"{number:06d}{videos[number % len(videos)].suffix}" for number in range(count)]
    for number, link in enumerate(links):
        link.symlink_to(videos[number % len(videos)])
    return links


def ray_job(config: Config, videos: list[Path], count: int) -> Job:
    """Run the job over `count` clips, in a fresh process."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        repeated(videos, count, root / "videos")
        (root / "stamps").mkdir()
        config.data.source.path, config.data.out = str(root / "videos"), str(root / "out")
        ray_cluster.start(config.ray)
        # Ray's workers cannot import this script.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        with Memory() as watched:
            idle = memory()
            began = time.perf_counter()
            result = prepare(config, partial(StampedDetector, root / "stamps", config.data))
            took = time.perf_counter() - began
        ray.shutdown()
        if result.clips != count or result.reasons.keys() - {"track"}:
            raise SystemExit(f"not a fair run: {result.summary()}")
        return Job(count, took, steady(root / "stamps"), idle, watched.peak)


def bare(settings: DataConfig, videos: list[Path], count: int, work: Callable[..., None]) -> Speed:
    """Let bare processes, one a core, work on `count` clips."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        links = repeated(videos, count, root / "videos")
        (root / "stamps").mkdir()
        processes = [
            spawn.Process(target=work, args=(settings, links[rank::CORES], root / "out", root / "stamps"))
            for rank in range(CORES)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise SystemExit("a bare process failed, see above")
        return steady(root / "stamps")


def prepare_all(settings: DataConfig, videos: list[Path], out: Path, stamps: Path) -> None:
    """What one bare process does: clips to shards, one after the other."""
    cv2.setNumThreads(1)
    detector = StampedDetector(stamps, settings)
    blank: dict[str, Any] = dict.fromkeys(CLIP_SCHEMA.names) | {"start": 0.0, "source": "folder", "split": "train"}
    blank |= {"appearance": [None] * 40, "action": [None] * 35, "emotion_segments": []}
    rows: list[dict[str, Any]] = []
    for number, video in enumerate(videos, 1):
        found = clip_rows({**blank, "clip_id": video.stem, "video": str(video)}, detector, settings)
        rows += [row for row in found if row["stage"] is None]
        if rows and (len(rows) >= settings.clips_per_shard or number == len(videos)):
            table = pa.Table.from_pylist(rows, schema=SHARD_SCHEMA)
            write_whole(table, out / name_for([row["clip_id"] for row in rows]))
            rows = []


def decode_all(settings: DataConfig, videos: list[Path], out: Path, stamps: Path) -> None:
    """What one bare process does that only decodes."""
    cv2.setNumThreads(1)
    frames = settings.frames
    for video in videos:
        read = read_frames(video, fps=frames.fps, max_frames=frames.max_frames, max_side=frames.decode_side)
        stamp(stamps, len(read.images))


def naive(settings: DataConfig, videos: list[Path], count: int) -> Speed:
    """The script as one writes it first; in a process of its own."""
    detector = CenterFaceDetector(min_score=settings.faces.min_score, threads=CORES)
    detector.detect(np.zeros((1, 64, 64, 3), np.uint8))
    quality = [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality]
    frames = 0
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        for number in range(count):
            for index, image in enumerate(every_frame(videos[number % len(videos)])):
                frames += 1
                size = fit_size(image.shape[1], image.shape[0], settings.frames.side)
                small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                cv2.imwrite(f"{out}/{number}_{index}.jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)
                (faces,) = detector.detect(image[None])
                if len(faces):
                    face = align_face(image, faces.landmarks[0], size=settings.faces.size, margin=settings.faces.margin)
                    cv2.imwrite(f"{out}/{number}_{index}_face.jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), quality)
        took = time.perf_counter() - began
    return Speed(count / took, frames / took)


def every_frame(video: Path) -> Iterator[np.ndarray]:
    """The frames of a video, (H, W, 3) uint8 RGB, by OpenCV."""
    capture = cv2.VideoCapture(os.path.abspath(video))
    try:
        while True:
            there, image = capture.read()
            if not there:
                return
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


@contextmanager
def said(what: str) -> Iterator[None]:
    """Say on standard error what runs now, and how long it took."""
    began = time.perf_counter()
    print(f"{what} ...", end="", flush=True, file=sys.stderr)
    yield
    print(f" {time.perf_counter() - began:.0f} s", file=sys.stderr)


def tables(config: Config, videos: list[Path], counts: list[int], naive_count: int) -> list[str]:
    """Run everything; the lines of the two tables."""
    jobs, most = [], max(counts)
    for count in sorted(counts):
        with said(f"Ray Data job, {count} clips"), NEW_PROCESS() as process:
            jobs.append(process.submit(ray_job, config, videos, count).result())
    with said(f"bare processes, {most} clips"):
        limit = bare(config.data, videos, most, prepare_all)
    with said(f"decoding alone, {most} clips"):
        decoding = bare(config.data, videos, most, decode_all)
    with said(f"naive script, {naive_count} clips"), NEW_PROCESS() as process:
        script = process.submit(naive, config.data, videos, naive_count).result()

    speeds = {
        f"the Ray Data job, {most} clips": jobs[-1].speed,
        f"bare processes, {CORES} (the limit)": limit,
        f"decoding alone, {CORES} processes": decoding,
        f"naive script, {naive_count} clips": script,
    }
    lines = ["| | clips/s | frames/s | to the limit | to the naive script |", "|---|---|---|---|---|"]
    for name, speed in speeds.items():
        ratios = (f"{speed.clips / base.clips:.2f}x" for base in (limit, script))
        lines.append(f"| {name} | {speed.clips:.2f} | {speed.frames:.0f} | {' | '.join(ratios)} |")
    lines += [
        "",
        "| clips | whole (s) | clips/s, whole | clips/s, steady | memory before (MB) | at its peak (MB) |",
        "|---|---|---|---|---|---|",
    ]
    for job in jobs:
        cells = [f"{job.clips}", f"{job.seconds:.1f}", f"{job.clips / job.seconds:.2f}", f"{job.speed.clips:.2f}"]
        lines.append(f"| {' | '.join([*cells, f'{job.idle / 1e6:.0f}', f'{job.peak / 1e6:.0f}'])} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", default="nano", help="a preset or a YAML file")
    parser.add_argument("overrides", nargs="*", help="settings that override the file's")
    parser.add_argument("--videos", nargs="+", type=Path, default=[SAMPLE / "clips"], help="files or folders")
    parser.add_argument("--clips", nargs="+", type=int, default=[50, 150], help="numbers of clips of the Ray Data job")
    parser.add_argument("--naive", type=int, default=12, help="clips of the naive script")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    quiet_environment()
    preset = CONFIGS / f"{arguments.config}.yaml"
    config = load(preset if preset.is_file() else arguments.config, ["data.duplicates=keep", *arguments.overrides])
    videos = [
        file.absolute()
        for path in arguments.videos
        for file in (sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES) if path.is_dir() else [path])
    ]
    load_before = os.getloadavg()[0]
    lines = [
        f"# Preparing clips with `{arguments.config}`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {CORES} cores, Python {platform.python_version()}, "
        f"ray {version('ray')}, onnxruntime {version('onnxruntime')}. {len(videos)} videos, repeated; "
        f"{config.data.frames.fps:g} frames a second, at most {config.data.frames.max_frames}; "
        f"load of the machine before the run: {load_before:.1f}.",
        "",
        *tables(config, videos, arguments.clips, arguments.naive),
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
