"""Two corpora of the same clips, prepared by two revisions or settings: what came out differently.

    python benchmarks/prepare_outcome.py CORPUS OTHER [--out RESULT.md]

The folders are `data.out` of `favchat prepare`. Landmarks are compared where both have the face, in pixels of the
aligned crop of 160, where faces are some 110 wide.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from favchat.config.data import FACE_MARGIN
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import REJECTS, SHARDS
from favchat.io.paths import path_of
from favchat.video.align import face_geometry

CROP = 160
KEPT = ["clip_id", "visible", "landmarks", "width", "height"]


def rows(corpus: str, folder: str, columns: list[str]) -> dict[str, dict[str, Any]]:
    """The rows of a corpus by clip."""
    files = parquet_files(path_of(corpus) / folder)
    return {row["clip_id"]: row for file in files for row in read_table(file, columns).to_pylist()}


def apart(row: dict[str, Any], other: dict[str, Any]) -> np.ndarray:
    """How far the landmarks of two rows lie from each other, (N, 5) pixels of the crop."""
    both = np.asarray(row["visible"]) & np.asarray(other["visible"])
    extent = np.asarray([row["width"], row["height"]], dtype=np.float64)
    found = []
    for one, two in zip(row["landmarks"], other["landmarks"], strict=True):
        points, true = (np.asarray(values).reshape(5, 2) * extent for values in (one, two))
        found.append((points, true))
    distances = [
        np.linalg.norm(points - true, axis=1) * CROP / (float(face_geometry(true, 1, 1)[2]) * (1 + FACE_MARGIN))
        for (points, true), seen in zip(found, both, strict=True)
        if seen
    ]
    return np.asarray(distances).reshape(-1, 5)


def table(corpus: str, other: str) -> list[str]:
    """The lines of the table, and the clips that ended otherwise."""
    kept, others = rows(corpus, SHARDS, KEPT), rows(other, SHARDS, KEPT)
    rejects, other_rejects = (rows(one, REJECTS, ["clip_id", "stage", "reason"]) for one in (corpus, other))
    common = [
        name
        for name in sorted(kept.keys() & others.keys())
        if len(kept[name]["visible"]) == len(others[name]["visible"])
    ]
    if not common:
        raise SystemExit(f"{corpus} and {other} have no clip in common with as many frames in both")
    seen = {name: tuple(np.asarray(some[name]["visible"]) for some in (kept, others)) for name in common}
    missed = sum(int((other_seen & ~its).sum()) for its, other_seen in seen.values())
    more = sum(int((its & ~other_seen).sum()) for its, other_seen in seen.values())
    frames = sum(int(other_seen.sum()) for _, other_seen in seen.values())
    errors = np.concatenate([apart(kept[name], others[name]) for name in common]).ravel()
    percentiles = ", ".join(f"{value:.2f}" for value in np.percentile(errors, [50, 95, 99]))
    stages = {name: row["stage"] for name, row in rejects.items()}
    other_stages = {name: row["stage"] for name, row in other_rejects.items()}
    differ = sorted(name for name in stages.keys() | other_stages.keys() if stages.get(name) != other_stages.get(name))
    lines = [
        "| | |",
        "|---|---|",
        f"| clips kept, here and there | {len(kept)}, {len(others)} |",
        f"| rejects, here and there | {len(rejects)}, {len(other_rejects)} |",
        f"| clips with another outcome | {len(differ)} |",
        f"| frames with the face there that miss it here | {missed} of {frames} ({missed / max(frames, 1):.2%}) |",
        f"| frames with the face only here | {more} |",
        f"| landmarks, median, 95 %, 99 % (px) | {percentiles} |",
    ]
    return [
        *lines,
        "",
        *(f"- {name}: {stages.get(name, 'kept')}, there {other_stages.get(name, 'kept')}" for name in differ),
    ]


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus", help="`data.out` of one")
    parser.add_argument("other", help="`data.out` of the other")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    lines = ["# What two ways to prepare the same clips make of them", "", f"{datetime.now(UTC):%Y-%m-%d}.", ""]
    lines += table(arguments.corpus, arguments.other)
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
