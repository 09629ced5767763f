"""decord against PyAV: which files each opens, how fast each decodes, and whether their frames are right.

    python benchmarks/decode.py VIDEO_OR_FOLDER... [--out RESULT.md]

Prints a Markdown table. One thread each. Times are CPU seconds of this process, the best of two runs, so that other
work on the machine counts little. "16" reads 16 frames spread over the video, scaled to a longest side of 640, as
`favchat prepare` does. Right means: each of the 16 frames shows what PyAV shows at that moment when it decodes the
whole file from the beginning (mean difference below one grey level at a longest side of 160).
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import av
import decord
import numpy as np

from favchat.video import VideoError, VideoInfo
from favchat.video.colour import to_rgb
from favchat.video.decode import fit_size, probe
from favchat.video.frame_cursor import Cursor, ffmpeg_name
from favchat.video.frame_times import frames_on_display, uniform_times
from favchat.video.orientation import Orientation
from favchat.video.readers import DecordUnfitError, FoundFrames, read_decord, read_pyav

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg"}
Reader = Callable[[Path, np.ndarray, tuple[int, int], VideoInfo], FoundFrames]


def videos(paths: list[Path]) -> Iterator[Path]:
    """The given files, and the videos below the given folders."""
    for path in paths:
        yield from sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES) if path.is_dir() else [path]


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of the faster of two runs."""
    times = []
    for _ in range(2):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return max(min(times), 1e-6)


def all_decord(path: Path) -> int:
    """Decode every frame with decord: their number."""
    reader = decord.VideoReader(ffmpeg_name(path), num_threads=1)
    for begin in range(0, len(reader), 16):
        reader.get_batch(range(begin, min(begin + 16, len(reader)))).asnumpy()
    return len(reader)


def all_pyav(path: Path) -> int:
    """Decode every frame with PyAV to RGB: their number."""
    with av.open(ffmpeg_name(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        return sum(1 for frame in container.decode(stream) if frame.to_ndarray(format="rgb24").size)


def with_decord(path: Path, times: np.ndarray, size: tuple[int, int], info: VideoInfo) -> FoundFrames:
    """Sampled frames by decord."""
    return read_decord(path, times, size)


def with_pyav(path: Path, times: np.ndarray, size: tuple[int, int], info: VideoInfo) -> FoundFrames:
    """Sampled frames by PyAV."""
    return read_pyav(path, times, size, Orientation(info.rotation, info.mirrored))


def frames_per_second(work: Callable[[Path], int], path: Path) -> str:
    """Speed over all frames, or a dash where they do not all decode."""
    try:
        return f"{work(path) / seconds(lambda: work(path)):,.0f}"
    except (decord.DECORDError, RuntimeError, av.FFmpegError):
        return "–"


def truth(path: Path, times: np.ndarray, size: tuple[int, int], info: VideoInfo) -> list[np.ndarray]:
    """The frames on display at `times`, found by decoding the file from its beginning to its end."""
    orientation = Orientation(info.rotation, info.mirrored)
    width, height = orientation.size(*size)
    begins, images = [], []
    with av.open(ffmpeg_name(path)) as container:
        cursor = Cursor(container)
        picture = cursor.first
        while picture is not None:
            begins.append(picture.begin)
            images.append(orientation.upright(to_rgb(picture.frame, width, height)))
            picture = next(cursor.rest, None)
    return [images[index] for index in frames_on_display(np.asarray(begins), times)]


def sampled(read: Reader, path: Path, info: VideoInfo) -> tuple[str, str]:
    """Milliseconds for 16 frames at 640, and whether they are right."""
    times = uniform_times(0.0, info.duration, 16)
    large, small = (fit_size(info.width, info.height, side) for side in (640, 160))
    try:
        took = seconds(lambda: read(path, times, large, info))
        images = read(path, times, small, info).images
    except DecordUnfitError:
        return "–", "refused"
    true = truth(path, times, small, info)
    if len(images) != len(true):
        return f"{1e3 * took:,.0f}", f"{len(images)} of {len(true)} frames"
    wrong = sum(float(np.abs(a.astype(int) - b).mean()) > 1.0 for a, b in zip(images, true, strict=True))
    return f"{1e3 * took:,.0f}", f"{wrong} wrong" if wrong else "yes"


def row(path: Path) -> str:
    """One line of the table."""
    try:
        info, _ = probe(path)
    except VideoError as error:
        return f"| {path.name} | {error.reason} |" + " |" * 6
    begin = f"| {path.name} | {info.codec} {info.width}x{info.height}, {info.num_frames} frames"
    speeds = [frames_per_second(work, path) for work in (all_decord, all_pyav)]
    (ms_decord, right_decord), (ms_pyav, right_pyav) = (sampled(read, path, info) for read in (with_decord, with_pyav))
    return " | ".join([begin, *speeds, ms_decord, ms_pyav, right_decord, right_pyav]) + " |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    decord.logging.set_level(decord.logging.QUIET)

    lines = [
        "# decord against PyAV",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, decord2 {version('decord2')}, av {version('av')}. One thread, CPU time.",
        "",
        "| file | video | decord, all frames/s | PyAV, all frames/s | decord, 16 (ms) | PyAV, 16 (ms) "
        "| decord right | PyAV right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for path in videos(arguments.paths):
        lines.append(row(path))
        print(lines[-1], flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
