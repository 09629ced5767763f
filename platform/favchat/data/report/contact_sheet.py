"""Contact sheets of faces of a corpus."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from favchat.data.corpus.ledger import read_ledger, read_media
from favchat.data.corpus.parquet_files import arrow_source, parquet_files
from favchat.data.corpus.schema import SHARDS
from favchat.video.images import decode_images, encode_images


def contact_sheet(shards: UPath, *, count: int = 48, columns: int = 12, tile: int = 96, seed: int = 0) -> np.ndarray:
    """Tile the middle visible face of random clips.

    Args:
        shards: A folder of shards, not empty.
        count: Maximum number of clips.
        columns: Faces per line.
        tile: Side of a face in pixels.
        seed: Selects the clips.

    Returns:
        (H, W, 3) uint8 RGB; places without a face are black.
    """
    counts = _rows_a_file(shards)
    files = [shards / name for name in counts]
    rows = np.cumsum([0, *counts.values()])
    sampled_rows = np.random.default_rng(seed).permutation(rows[-1])[:count]
    lines = max(1, -(-len(sampled_rows) // columns))
    sheet = np.zeros((lines * tile, min(columns, max(1, len(sampled_rows))) * tile, 3), np.uint8)
    places = {int(row): place for place, row in enumerate(sampled_rows)}
    for index, file in enumerate(files):
        wanted = sorted(row for row in places if rows[index] <= row < rows[index + 1])
        if not wanted:
            continue
        # By row group: the images of a whole shard may not fit into memory.
        for row, clip in _rows(file, [row - int(rows[index]) for row in wanted]):
            line, column = divmod(places[row + int(rows[index])], columns)
            face = _middle_face(clip["faces"], clip["visible"])
            if face is not None:
                top, left = line * tile, column * tile
                sheet[top : top + tile, left : left + tile] = cv2.resize(
                    face, (tile, tile), interpolation=cv2.INTER_AREA
                )
    return sheet


def face_strips(shards: UPath, clip_ids: list[str], *, count: int = 10, tile: int = 88) -> dict[str, np.ndarray]:
    """Tile faces of some clips, one line per clip in temporal order.

    Args:
        shards: The folder of a corpus's shards.
        clip_ids: Which clips.
        count: Maximum number of faces per clip, evenly spaced over the frames; invisible ones are black.
        tile: Side of a face in pixels.

    Returns:
        Clip -> (tile, W, 3) uint8 RGB, for the clips that are in the shards.
    """
    strips: dict[str, np.ndarray] = {}
    for clip in read_media(shards.parent, pa.array(clip_ids, pa.string()), ["clip_id", "faces"]).to_pylist():
        places = np.linspace(0, len(clip["faces"]) - 1, min(count, len(clip["faces"]))).round().astype(int)
        faces = decode_images([clip["faces"][place] for place in places])
        strips[clip["clip_id"]] = np.concatenate(
            [cv2.resize(face, (tile, tile), interpolation=cv2.INTER_AREA) for face in faces], axis=1
        )
    return strips


def write_sheet(sheet: np.ndarray, path: UPath) -> None:
    """Write an image as JPEG.

    Raises:
        OSError: It cannot be written.
    """
    path.write_bytes(encode_images(sheet[None], quality=88)[0])


def _rows_a_file(shards: UPath) -> dict[str, int]:
    """Name of each shard -> its rows, ordered by name: from the ledger, or of a folder without one from the footers."""
    if shards.name == SHARDS:
        counts = Counter(read_ledger(shards.parent, ["file"], kept=True)["file"].to_pylist())
        return {name.rpartition("/")[2]: counts[name] for name in sorted(counts)}
    return {file.name: _count_rows(file) for file in parquet_files(shards)}


def _count_rows(file: UPath) -> int:
    with arrow_source(file) as source:
        return int(pq.read_metadata(source).num_rows)


def _rows(file: UPath, wanted: list[int]) -> list[tuple[int, dict[str, list]]]:
    found, begin = [], 0
    with arrow_source(file) as source:
        parquet = pq.ParquetFile(source)
        for group in range(parquet.num_row_groups):
            end = begin + parquet.metadata.row_group(group).num_rows
            inside = [row for row in wanted if begin <= row < end]
            if inside:
                table = parquet.read_row_group(group, columns=["faces", "visible"])
                found += [(row, table.slice(row - begin, 1).to_pylist()[0]) for row in inside]
            begin = end
    return found


def _middle_face(faces: list[bytes], visible: list[bool]) -> np.ndarray | None:
    seen = np.flatnonzero(visible)
    return decode_images([faces[seen[len(seen) // 2]]])[0] if len(seen) else None
