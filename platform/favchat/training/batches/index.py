"""Index of a stage's samples, read from metadata only: their texts, and the shard and row of each clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from favchat.config import ConfigError, SamplesConfig
from favchat.data.annotate.rows import NO_FACE_ROW
from favchat.data.corpus.ledger import read_ledger
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import ANNOTATIONS, SHARDS
from favchat.io.paths import path_of
from favchat.training.batches.batch import Sample

KEPT = ["clip_id", "question", "answer", "answer_type"]
TEXTS = [*KEPT, "task", "split", "selected", "family"]


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
    if textless:
        clips = read_ledger(path_of(out), ["clip_id", "split"], kept=True)
        chosen = [_clips_alone(out, clips, part.split or split) for part in parts]
    else:
        chosen = _chosen(out, annotations, parts, split)
    texts = pa.concat_tables(chosen).combine_chunks()
    # The shards of these clips, whole: a row group begins at its first row, whether or not a sample is about that.
    there = read_ledger(path_of(out), ["clip_id", "file", "row_group", "row"], kept=True)
    used = pc.unique(there.filter(pc.is_in(there["clip_id"], texts["clip_id"].unique()))["file"]).sort()
    there = there.filter(pc.is_in(there["file"], used)).sort_by([("file", "ascending"), ("row", "ascending")])
    file = pc.index_in(there["file"], used).to_numpy()
    row, group_there = there["row"].to_numpy(), there["row_group"].to_numpy()
    begins = np.flatnonzero(np.r_[True, (file[1:] != file[:-1]) | (group_there[1:] != group_there[:-1])])
    group = np.repeat(np.arange(len(begins)), np.diff(np.r_[begins, len(file)]))
    asked = np.flatnonzero(pc.is_in(there["clip_id"], texts["clip_id"].unique()).to_numpy())
    clips = there["clip_id"].take(pa.array(asked)).combine_chunks()
    pa.default_memory_pool().release_unused()  # of the tables on the way, which Arrow would keep
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


def _chosen(out: str, folder: UPath, parts: list[SamplesConfig], split: str) -> list[pa.Table]:
    """The samples of each part. Files are read one at a time, for a large corpus has many, and more than is wanted."""
    clips = read_ledger(path_of(out), ["clip_id"], kept=True)["clip_id"].combine_chunks()
    found: list[list[pa.Table]] = [[] for _ in parts]
    for file in parquet_files(folder):
        rows = read_table(file, TEXTS)
        rows = rows.filter(pc.is_in(rows["clip_id"], clips))
        for part, some in zip(parts, found, strict=True):
            some.append(rows.filter(_wanted(part, split)).select(KEPT))
    return [_sorted(out, pa.concat_tables(some), part, split) for some, part in zip(found, parts, strict=True)]


def _wanted(part: SamplesConfig, split: str) -> pc.Expression:
    wanted = (pc.field("task") == part.task) & (pc.field("split") == (part.split or split))
    if part.selected is not None:
        wanted = wanted & (pc.field("selected") == part.selected)
    if part.families is not None:
        wanted = wanted & pc.field("family").isin(part.families)
    return wanted


def _sorted(out: str, found: pa.Table, part: SamplesConfig, split: str) -> pa.Table:
    if not found.num_rows:
        more = "" if part.selected is None else f" that is {'selected' if part.selected else 'not selected'}"
        more += "" if part.families is None else f" of the families {', '.join(part.families)}"
        where = part.split or split
        raise ConfigError(f"data.out = {out}: no annotation of task '{part.task}' in split '{where}'{more}")
    # Sort, so that the order of training does not depend on the order in which annotations were written.
    return found.sort_by([("clip_id", "ascending"), ("question", "ascending"), ("answer", "ascending")])
