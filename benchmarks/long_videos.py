"""A window at the end of a long video against the same window at its start.

    python benchmarks/long_videos.py [VIDEO] [--minutes 60] [--repeats 7] [--out RESULT.md]

VIDEO, by default a sample clip of the package, is repeated without a new encoding until it is as long as asked for, in
several containers: with an index (MP4, Matroska), and without one, where a seek has to search (MPEG transport streams).
Windows of 4 s are read as `favchat prepare` reads a clip that is a part of a file: in the first repetition but one, in
the middle and in the last but two, always in the same place of the repeated clip, so that each shows the same pictures
and is equally far from its key frame. Times are CPU seconds of this process, taken in turn; the table has their
medians. "Same pictures" is the largest difference of any pixel from the window at the start. "Whole" reads 16 frames
spread over the whole file.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np

from favchat.video.decode import Frames, read_frames
from jobs.quickstart import SAMPLE

CONTAINERS = ("mp4", "mkv", "ts")
WINDOW = 4.0


def repeat(video: Path, out: Path, seconds: float) -> tuple[float, int]:
    """Write a video's packets over and over; the length of one repetition in seconds, and how many there are."""
    with av.open(str(video)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        unit = stream.time_base or 1
        packets = [packet for packet in source.demux(stream) if packet.size]
        first = min(packet.pts for packet in packets if packet.pts is not None)
        length = max((packet.pts or 0) + (packet.duration or 0) for packet in packets) - first
        copy = target.add_stream_from_template(stream)
        count = int(np.ceil(seconds / float(length * unit)))
        for number in range(count):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.pts = (packet.pts or 0) - first + number * length
                again.dts = (packet.dts or 0) - first + number * length
                again.duration, again.time_base, again.is_keyframe = packet.duration, unit, packet.is_keyframe
                again.stream = copy
                target.mux(again)
    return float(length * unit), count


def window(video: Path, start: float) -> tuple[float, Frames]:
    """CPU seconds of reading a window, and the window."""
    began = time.process_time()
    read = read_frames(video, start=start, end=start + WINDOW, max_side=640)
    return time.process_time() - began, read


def row(source: Path, folder: Path, container: str, minutes: float, repeats: int) -> str:
    """One line of the table."""
    video = folder / f"long.{container}"
    length, count = repeat(source, video, 60 * minutes)
    last = count - 2 - int(np.ceil(WINDOW / length))
    if last < 3:
        raise SystemExit(f"{source} lasts {length:.1f} s: too long for {minutes:g} minutes, ask for more --minutes")
    # The same part of the repeated clip, a third of it after its key frame.
    starts = [number * length + length / 3 for number in (1, last // 2, last)]
    times: list[list[float]] = [[], [], []]
    for _ in range(repeats):
        reads = [window(video, start) for start in starts]
        for taken, (seconds, _) in zip(times, reads, strict=True):
            taken.append(seconds)
    pictures = [read.images.astype(int) for _, read in reads]
    if len({images.shape for images in pictures}) != 1:
        raise SystemExit(f"{container}: the windows have {[len(images) for images in pictures]} frames")
    began = time.process_time()
    read_frames(video, max_frames=16, max_side=640)
    whole = 1e3 * (time.process_time() - began)
    apart = max(int(np.abs(images - pictures[0]).max()) for images in pictures)
    begin, middle, end = (1e3 * statistics.median(taken) for taken in times)
    size = video.stat().st_size / 1e6
    video.unlink()
    cells = [container, f"{count * length / 60:.0f}", f"{size:.0f}", f"{begin:.0f}", f"{middle:.0f}", f"{end:.0f}"]
    return f"| {' | '.join([*cells, f'{end / begin:.2f}x', str(apart), f'{whole:.0f}'])} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("video", nargs="?", type=Path, default=SAMPLE / "clips" / "pexels_0.mp4")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    lines = [
        "# Windows of a long video",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, av {version('av')}. `{arguments.video.name}`, repeated; one thread, CPU "
        f"time, medians of {arguments.repeats} in turn.",
        "",
        "| container | minutes | MB | at the start (ms) | in the middle (ms) | at the end (ms) | end to start "
        "| same pictures | whole (ms) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for container in CONTAINERS:
            lines.append(row(arguments.video, Path(folder), container, arguments.minutes, arguments.repeats))
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
