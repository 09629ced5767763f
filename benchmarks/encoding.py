"""`data.encoding` measured: what JPEG at several qualities and raw pixels take, in bytes and time, and what they lose.

    python benchmarks/encoding.py [VIDEO_OR_FOLDER...] [--quality 85 90 95] [--out RESULT.md]

Prints a Markdown table. The clips, by default the sample clips of the package, are prepared once with the default
settings; then each encoding writes their rows to one shard as `favchat prepare` does (zstd Parquet) and reads them back
as training does, pictures decoded. Times are CPU seconds of this process a clip, the best of two runs, so that other
work on the machine counts little; waiting for a disk or a network is not in them, it grows with the bytes. PSNR is
against the pixels before encoding, the mean over images; faces that are not visible, which are black, are left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from favchat.config import DataConfig
from favchat.data.corpus.parquet_files import read_folder, write_whole
from favchat.data.corpus.schema import CLIP_SCHEMA, SHARD_SCHEMA
from favchat.data.prepare.clip_rows import clip_rows
from favchat.training.batches.samples import CLIP_COLUMNS, StoredClip, read_clip
from favchat.video import CenterFaceDetector
from favchat.video.images import Encoding, encode_images
from jobs.quickstart import SAMPLE

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg"}


@dataclass(frozen=True)
class Measured:
    """What one encoding takes, a clip, and what it loses."""

    name: str
    size: float
    write: float
    read: float
    frames: float
    faces: float

    def line(self, base: Measured) -> str:
        """A line of the table; times in ms."""
        cells = [self.name, f"{self.size / 1e6:.2f}", f"{self.size / base.size:.2f}x"]
        for now, before in ((self.write, base.write), (self.read, base.read)):
            cells += [f"{1e3 * now:.0f}", f"{now / before:.2f}x"]
        cells += ["exact" if np.isinf(psnr) else f"{psnr:.1f}" for psnr in (self.frames, self.faces)]
        return "| " + " | ".join(cells) + " |"


def prepared(paths: list[Path]) -> list[dict[str, Any]]:
    """The rows of the clips that can be used, with raw pictures."""
    detector, settings = CenterFaceDetector(), DataConfig(encoding="raw")
    files = [
        file
        for path in paths
        for file in (sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES) if path.is_dir() else [path])
    ]
    blank: dict[str, Any] = dict.fromkeys(CLIP_SCHEMA.names) | {"start": 0.0, "source": "folder", "split": "train"}
    blank |= {"appearance": [], "action": [], "emotion_segments": []}
    rows = [
        row
        for number, file in enumerate(files)
        for row in clip_rows({**blank, "clip_id": f"{number}", "video": str(file)}, detector, settings)
    ]
    return [row for row in rows if row["stage"] is None]


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of the faster of two runs."""
    times = []
    for _ in range(2):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def write(rows: list[dict[str, Any]], clips: list[StoredClip], encoding: Encoding, quality: int, file: Path) -> None:
    """Encode the clips' pictures and write their shard."""
    coded = [
        row
        | {
            name: encode_images(images, encoding=encoding, quality=quality)
            for name, images in (("frames", clip.frames), ("faces", clip.faces))
        }
        for row, clip in zip(rows, clips, strict=True)
    ]
    write_whole(pa.Table.from_pylist(coded, schema=SHARD_SCHEMA), file)


def read(folder: Path) -> list[StoredClip]:
    """Read a folder of shards, pictures decoded."""
    return [read_clip(row) for row in read_folder(folder, CLIP_COLUMNS).to_pylist()]


def psnr(images: np.ndarray, true: np.ndarray) -> list[float]:
    """Peak signal-to-noise ratio of each image in dB, 10 log10(255^2 / mean squared error); infinite where exact."""
    errors = np.square(images.astype(np.float32) - true).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return (10 * np.log10(255.0**2 / errors)).tolist()


def measure(rows: list[dict[str, Any]], clips: list[StoredClip], encoding: Encoding, quality: int) -> Measured:
    """Write and read all clips with one encoding."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shard.parquet"
        writing = seconds(lambda: write(rows, clips, encoding, quality, file))
        reading = seconds(lambda: read(file.parent))
        pairs = list(zip(read(file.parent), clips, strict=True))
        return Measured(
            name="raw" if encoding == "raw" else f"JPEG {quality}",
            size=file.stat().st_size / len(clips),
            write=writing / len(clips),
            read=reading / len(clips),
            frames=float(np.mean([v for now, true in pairs for v in psnr(now.frames, true.frames)])),
            faces=float(
                np.mean([v for now, true in pairs for v in psnr(now.faces[true.visible], true.faces[true.visible])])
            ),
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="*", type=Path, default=[SAMPLE / "clips"])
    parser.add_argument("--quality", nargs="+", type=int, default=[85, 90, 95])
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()

    rows = prepared(arguments.paths)
    clips = [read_clip(row) for row in rows]
    base = measure(rows, clips, "raw", 100)
    found = [base, *(measure(rows, clips, "jpeg", quality) for quality in arguments.quality)]
    images = sum(len(clip.frames) for clip in clips)
    lines = [
        "# Encodings of the pictures in a shard",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, opencv-python-headless {version('opencv-python-headless')}, "
        f"pyarrow {version('pyarrow')}. {len(clips)} clips, {images} frames of at most {DataConfig().frames.side} "
        f"pixels and as many faces of {DataConfig().faces.size}. CPU time, a clip. Ratios are to raw.",
        "",
        "| encoding | MB | to raw | encode + write (ms) | to raw | read + decode (ms) | to raw "
        "| PSNR of frames (dB) | of faces (dB) |",
        "|---|---|---|---|---|---|---|---|---|",
        *(one.line(base) for one in found),
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
