"""Compute the mean and the standard deviation of each channel of the face trunks' maps over a corpus's faces.

    python tools/face_statistics.py CORPUS platform/favchat/weights

CORPUS is what ``favchat prepare`` made; of each clip of its split ``train``, four frames are looked at, as they are and
mirrored. What is counted are the averages over the cells of a 4x4 grid, which the preset's adapter reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import torch
from safetensors.torch import save_file
from torch import Tensor

from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.io.paths import path_of
from favchat.model.encoders import pool
from favchat.model.face_pyramid import STATISTICS_FILE, FacePyramidModel
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip

SPLIT = "train"
FRAMES = 4
GRID = 4
BATCH = 8
"""Clips that the trunks see at once."""
LEAST = 0.01
"""Smallest standard deviation, as a share of the map's mean one: a channel that hardly ever fires must not become the
loudest where it does."""


def faces(corpus: str) -> Iterator[Tensor]:
    """The visible faces of the corpus, `(N, 3, S, S)` in 0..1, a few clips at a time."""
    for file in parquet_files(path_of(corpus) / SHARDS):
        rows = read_table(file, CLIP_COLUMNS, filters=pc.field("split") == SPLIT).to_pylist()
        for begin in range(0, len(rows), BATCH):
            clips = [read_clip(row, FRAMES) for row in rows[begin : begin + BATCH]]
            seen = torch.cat([torch.from_numpy(clip.faces[clip.visible]) for clip in clips])
            if len(seen):
                yield seen.permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def statistics(corpus: str) -> tuple[dict[str, Tensor], int]:
    """The tensors of the model's `standardisations`, and how many faces they are of.

    Raises:
        SystemExit: The corpus has no face of the split.
    """
    model = FacePyramidModel.from_trunks()
    count, maps = 0, len(model.standardisations)
    sums, squares = [0.0] * maps, [0.0] * maps
    for batch in faces(corpus):
        count += len(batch)
        output = model(torch.cat([batch, batch.flip(-1)]))
        for number, state in enumerate(output.expression_states + output.identity_states):
            cells = pool(state, GRID).flatten(0, 1).double()  # (2 N GRID^2, C)
            sums[number] = sums[number] + cells.sum(0)
            squares[number] = squares[number] + cells.square().sum(0)
    if not count:
        raise SystemExit(f"{corpus}: no face of split '{SPLIT}'")
    tensors = {}
    for number, (total, square) in enumerate(zip(sums, squares, strict=True)):
        mean = torch.as_tensor(total) / (2 * count * GRID**2)
        std = (torch.as_tensor(square) / (2 * count * GRID**2) - mean.square()).clamp(min=0).sqrt()
        tensors[f"standardisations.{number}.mean"] = mean.float()
        tensors[f"standardisations.{number}.std"] = std.clamp(min=LEAST * std.mean()).float()
    return tensors, count


def main() -> None:
    """Write ``face_statistics.safetensors``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("corpus", help="what `favchat prepare` made")
    parser.add_argument("out", type=Path, help="the folder to write to")
    arguments = parser.parse_args()
    tensors, count = statistics(arguments.corpus)
    file = arguments.out / STATISTICS_FILE.name
    save_file(tensors, file)
    file.chmod(0o644)
    print(f"{file}: of {count:,} faces and their mirror images")


if __name__ == "__main__":
    main()
