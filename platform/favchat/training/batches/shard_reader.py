"""Random access to the clips of shards: their images, or their cached encoder features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from favchat.config import ConfigError
from favchat.data.corpus.parquet_files import arrow_source
from favchat.io.paths import path_of
from favchat.training.batches.index import Index
from favchat.training.batches.samples import CLIP_COLUMNS, StoredClip, read_clip


class ClipReader:
    """Reads clips by their position in an index.

    Args:
        index: The index.
        features: Path of each shard's feature file, by the shard's path; None reads images.
        frames: Number of frames of a clip that the model sees; only those images are decoded.
    """

    def __init__(self, index: Index, features: Mapping[str, str] | None, frames: int):
        self._index, self._features, self._frames = index, features, frames
        self._groups: dict[int, pa.Table] = {}
        self._files: dict[int, pa.RecordBatchFileReader] = {}

    def prepare(self, clips: np.ndarray) -> None:
        """Open the files of some clips; for images, read whole row groups, still compressed.

        Raises:
            ConfigError: A file cannot be read.
        """
        index = self._index
        if self._features is not None:
            for file in np.unique(index.clip_file[clips]):
                self._files[int(file)] = open_features(self._features[index.files[file]])
            return
        for group in np.unique(index.clip_group[clips]):
            file, number, _ = index.first_row[int(group)]
            try:
                with arrow_source(path_of(index.files[file])) as source:
                    self._groups[int(group)] = pq.ParquetFile(source).read_row_group(number, columns=CLIP_COLUMNS)
            except (pa.ArrowInvalid, OSError) as error:
                raise ConfigError(f"data.out: {index.files[file]} cannot be read: {error}") from error

    def read(self, clip: int) -> StoredClip | dict[str, torch.Tensor]:
        """Read a clip in the form that the processor takes.

        Raises:
            ConfigError: The shard has changed since the index was made, or a picture cannot be decoded.
        """
        index = self._index
        if self._features is not None:
            reader = self._files[int(index.clip_file[clip])]
            found = read_features(reader, int(index.clip_row[clip]))
        else:
            group = int(index.clip_group[clip])
            row = int(index.clip_row[clip]) - index.first_row[group][2]
            found = self._groups[group].slice(row, 1).to_pylist()[0]
        if found["clip_id"] != index.clip_ids[clip]:
            shard = index.files[index.clip_file[clip]]
            raise ConfigError(f"data.out: {shard} has changed while it was trained on; start the training again")
        if self._features is not None:
            return {name: value for name, value in found.items() if name != "clip_id"}
        try:
            return read_clip(found, self._frames)
        except ValueError as error:
            raise ConfigError(
                f"data.out: clip {found['clip_id']} of {index.files[index.clip_file[clip]]}: {error}"
            ) from error


def feature_table(clip_ids: list[str], tensors: Mapping[str, np.ndarray]) -> bytes:
    """Serialise features as an Arrow file with one record batch per clip, so that clips can be read individually.

    Args:
        clip_ids: n clips.
        tensors: Arrays `(n, ...)`; dtypes are kept.
    """
    fields, columns = [pa.field("clip_id", pa.string())], [pa.array(clip_ids, pa.string())]
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        size = array[0].nbytes
        about = {"shape": ",".join(map(str, array.shape[1:])), "dtype": array.dtype.str}
        fields.append(pa.field(name, pa.binary(size), metadata=about))
        columns.append(pa.Array.from_buffers(pa.binary(size), len(array), [None, pa.py_buffer(array.tobytes())]))
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return sink.getvalue().to_pybytes()


def open_features(file: str) -> pa.RecordBatchFileReader:
    """Open a file that `feature_table` made; a local one is mapped into memory.

    Raises:
        ConfigError: It cannot be read.
    """
    path = path_of(file)
    try:
        return pa.ipc.open_file(pa.PythonFile(path.open("rb")) if hasattr(path, "fs") else pa.memory_map(str(path)))
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"{file} holds no features: {error}; delete it, and it is computed again") from error


def read_features(reader: pa.RecordBatchFileReader, row: int) -> dict[str, Any]:
    """Read a clip's id and tensors."""
    batch = reader.get_batch(row)
    found: dict[str, Any] = {"clip_id": batch["clip_id"][0].as_py()}
    for field in batch.schema:
        if field.metadata:
            shape = [int(size) for size in field.metadata[b"shape"].decode().split(",")]
            array = np.frombuffer(batch[field.name][0].as_buffer(), dtype=field.metadata[b"dtype"].decode())
            found[field.name] = torch.from_numpy(array.reshape(shape).copy())
    return found
