"""Index of a stage's samples, read from metadata only: their texts, and the shard and row of each clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from favchat.config import ConfigError, SamplesConfig
from favchat.data.annotate.rows import NO_FACE_ROW
from favchat.data.corpus.parquet_files import arrow_source, parquet_files, read_folder, read_table
from favchat.data.corpus.schema import ANNOTATIONS, SHARDS
from favchat.io.paths import path_of
from favchat.training.batches.batch import Sample

TEXTS = ["clip_id", "task", "split", "selected", "family", "question", "answer", "answer_type"]


@dataclass(frozen=True)
class Index:
    """n samples about c clips in f shards."""

    files: tuple[str, ...]
    """Addresses of the shards that hold a clip of a sample, `f` of them."""
    clip_ids: np.ndarray
    """`(c,)` strings, as they are stored."""
    clip_file: np.ndarray
    """The shard of each clip, `(c,)`."""
    clip_row: np.ndarray
    """Its row there, `(c,)`."""
    clip_group: np.ndarray
    """Its row group, counted over all shards, `(c,)`."""
    first_row: dict[int, tuple[int, int, int]]
    """Of each row group its shard, its number there, and its first row."""
    sample_clip: np.ndarray
    """The clip of each sample, `(n,)`."""
    texts: pa.Table
    """`question`, `answer` and `answer_type` of each sample."""
    parts: tuple[int, ...]
    """Samples of each part of a mixture, which follow each other."""

    def samples(self, indices: np.ndarray) -> list[Sample]:
        """Samples by their indices."""
        rows = self.texts.take(pa.array(indices)).to_pylist()
        clips = self.clip_ids[self.sample_clip[indices]]
        return [
            Sample(str(clip), row["question"], row["answer"], row["answer_type"] == NO_FACE_ROW)
            for clip, row in zip(clips, rows, strict=True)
        ]


def read_index(out: str, parts: list[SamplesConfig], split: str) -> Index:
    """Index the samples of a stage.

    Args:
        out: Folder of the corpus (``data.out``).
        parts: Filters that select the samples, one for each part of the mixture, the stage's own first.
        split: Split of the parts that do not name one.

    Raises:
        ConfigError: There are no shards or no annotations, or a part has no samples.
    """
    shards, annotations = path_of(out) / SHARDS, path_of(out) / ANNOTATIONS
    tables, groups, files = [], [], parquet_files(shards)
    if not files:
        raise ConfigError(f"data.out = {out}: no Parquet file in {shards}; run `favchat prepare` first")
    textless = all(part.task == "attributes" for part in parts)
    if not textless and not parquet_files(annotations):
        raise ConfigError(f"data.out = {out}: no annotations there; run `favchat annotate` first")
    for file in files:
        tables.append(read_table(file, ["clip_id"])["clip_id"].to_pylist())
        with arrow_source(file) as source:
            metadata = pq.ParquetFile(source).metadata
            groups.append([metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)])
    place = {clip: (file, row) for file, clips in enumerate(tables) for row, clip in enumerate(clips)}
    if textless:
        clips_of = read_folder(shards, ["clip_id", "split"])
        chosen = [_clips_alone(out, clips_of, part.split or split) for part in parts]
    else:
        rows = read_folder(annotations, TEXTS)
        rows = rows.filter(pc.is_in(pc.field("clip_id"), pa.array(list(place), pa.string())))
        chosen = [_choose(out, rows, part, part.split or split) for part in parts]
    texts = pa.concat_tables(chosen).combine_chunks()

    names = np.asarray(texts["clip_id"].to_pylist(), dtype=object)
    clips = sorted(set(names), key=lambda clip: place[clip])
    number = {clip: index for index, clip in enumerate(clips)}
    places = np.array([place[clip] for clip in clips], dtype=np.int64)
    used = np.unique(places[:, 0])
    edges = [np.cumsum([0, *groups[file]]) for file in used]
    offsets = np.cumsum([0, *(len(groups[file]) for file in used)])
    clip_file = np.searchsorted(used, places[:, 0])
    clip_group = np.array(
        [
            offsets[file] + np.searchsorted(edges[file], row, side="right") - 1
            for file, row in zip(clip_file, places[:, 1], strict=True)
        ]
    )
    return Index(
        files=tuple(str(files[file]) for file in used),
        clip_ids=np.asarray(clips),
        clip_file=clip_file,
        clip_row=places[:, 1],
        clip_group=clip_group,
        first_row={
            int(offsets[file] + group): (file, group, int(edges[file][group]))
            for file in range(len(used))
            for group in range(len(edges[file]) - 1)
        },
        sample_clip=np.array([number[clip] for clip in names], dtype=np.int64),
        texts=texts.select(["question", "answer", "answer_type"]),
        parts=tuple(table.num_rows for table in chosen),
    )


def _clips_alone(out: str, clips: pa.Table, split: str) -> pa.Table:
    """One sample without texts per clip of a split, for stages that train on attribute labels only."""
    found = clips.filter(pc.field("split") == split).sort_by("clip_id")
    if not found.num_rows:
        raise ConfigError(f"data.out = {out}: no clip of split '{split}'")
    empty = pa.array([""] * found.num_rows, pa.string())
    for name in ("question", "answer", "answer_type"):
        found = found.append_column(name, empty)
    return found


def _choose(out: str, rows: pa.Table, part: SamplesConfig, split: str) -> pa.Table:
    wanted = (pc.field("task") == part.task) & (pc.field("split") == split)
    if part.selected is not None:
        wanted = wanted & (pc.field("selected") == part.selected)
    if part.families is not None:
        wanted = wanted & pc.field("family").isin(part.families)
    found = rows.filter(wanted)
    if not found.num_rows:
        more = "" if part.selected is None else f" that is {'selected' if part.selected else 'not selected'}"
        more += "" if part.families is None else f" of the families {', '.join(part.families)}"
        raise ConfigError(f"data.out = {out}: no annotation of task '{part.task}' in split '{split}'{more}")
    # Sort, so that the order of training does not depend on the order in which annotations were written.
    return found.sort_by([("clip_id", "ascending"), ("question", "ascending"), ("answer", "ascending")])
