"""Index of a stage's samples, read from metadata only: their texts, and the shard and row of each clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from favchat.config import ConfigError, SamplesConfig
from favchat.data.annotate.rows import NO_FACE_ROW
from favchat.data.corpus.ledger import shard_rows
from favchat.data.corpus.parquet_files import parquet_files, read_folder
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
    if not parquet_files(shards):
        raise ConfigError(f"data.out = {out}: no Parquet file in {shards}; run `favchat prepare` first")
    textless = all(part.task == "attributes" for part in parts)
    if not textless and not parquet_files(annotations):
        raise ConfigError(f"data.out = {out}: no annotations there; run `favchat annotate` first")
    there = shard_rows(path_of(out), ["clip_id", "split", "file", "row_group", "row"])
    if textless:
        chosen = [_clips_alone(out, there.select(["clip_id", "split"]), part.split or split) for part in parts]
    else:
        rows = read_folder(annotations, TEXTS)
        rows = rows.filter(pc.is_in(rows["clip_id"], there["clip_id"].combine_chunks()))
        chosen = [_choose(out, rows, part, part.split or split) for part in parts]
    texts = pa.concat_tables(chosen).combine_chunks()
    # The shards of these clips, whole: a row group begins at its first row, whether or not a sample is about that.
    used = pc.unique(there.filter(pc.is_in(there["clip_id"], texts["clip_id"].unique()))["file"]).sort()
    there = there.filter(pc.is_in(there["file"], used)).sort_by([("file", "ascending"), ("row", "ascending")])
    file = pc.index_in(there["file"], used).to_numpy()
    row, group_there = there["row"].to_numpy(), there["row_group"].to_numpy()
    begins = np.flatnonzero(np.r_[True, (file[1:] != file[:-1]) | (group_there[1:] != group_there[:-1])])
    group = np.repeat(np.arange(len(begins)), np.diff(np.r_[begins, len(file)]))
    asked = np.flatnonzero(pc.is_in(there["clip_id"], texts["clip_id"].unique()).to_numpy())
    clips = there["clip_id"].take(pa.array(asked)).combine_chunks()
    return Index(
        files=tuple(str(path_of(out) / name) for name in used.to_pylist()),
        clip_ids=np.asarray(clips.to_pylist()),
        clip_file=file[asked].astype(np.int64),
        clip_row=row[asked].astype(np.int64),
        clip_group=group[asked],
        first_row={
            number: (int(file[begin]), int(group_there[begin]), int(row[begin])) for number, begin in enumerate(begins)
        },
        sample_clip=pc.index_in(texts["clip_id"], clips).to_numpy().astype(np.int64),
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
