"""``annotate``: labels of the shards -> summaries and questions."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from favchat.config import Config
from favchat.data.clips import clip_from_row
from favchat.data.schema import ANNOTATION_SCHEMA, ANNOTATIONS, CLIP_SCHEMA, SHARDS
from favchat.data.storage import read_folder, write_whole
from favchat.data.writer import TemplateWriter, Writer

FILE_NAME = "template.parquet"


@dataclass(frozen=True, slots=True)
class AnnotateResult:
    """What ``annotate`` did."""

    clips: int
    """Clips in the shards."""
    unlabelled: int
    """Of these, the ones nothing is known of; they have no annotation."""
    summaries: int
    questions: int
    answer_types: dict[str, int]
    """Questions of each answer type."""
    families: dict[str, int]
    """Questions of each attribute family."""
    path: Path
    """The file of the annotations."""

    def summary(self) -> str:
        """One line for the terminal."""
        text = f"annotated {self.clips - self.unlabelled} of {self.clips} clips"
        text += f": {self.summaries} summaries, {self.questions} questions"
        if self.unlabelled:
            text += f"; nothing is known of the other {self.unlabelled}"
        return f"{text} -> {self.path}"


def annotate(config: Config, writer: Writer | None = None) -> AnnotateResult:
    """Write the annotations of every clip in the shards, in place of earlier ones.

    Args:
        config: The whole configuration; ``data.out``, ``annotate`` and ``seed`` are used.
        writer: Writes each clip's rows; by default a ``TemplateWriter`` with the settings of the configuration.

    Raises:
        ConfigError: There are no shards below ``data.out``, or one cannot be read.
        OSError: The file cannot be written.
    """
    out = Path(config.data.out or "").absolute()
    if writer is None:
        settings = config.annotate
        writer = TemplateWriter(config.seed, settings.summaries_per_clip, settings.questions_per_clip)
    labels = read_folder(out / SHARDS, CLIP_SCHEMA.names).sort_by("clip_id")
    tables, unlabelled = [ANNOTATION_SCHEMA.empty_table()], 0
    for batch in labels.to_batches(max_chunksize=4096):
        table, empty = _rows(writer, batch)
        tables.append(table)
        unlabelled += empty
    annotations = pa.concat_tables(tables)
    path = out / ANNOTATIONS / FILE_NAME
    write_whole(annotations, path)
    rows = annotations.select(["task", "answer_type", "family"]).to_pylist()
    questions = [row for row in rows if row["task"] == "qa"]
    return AnnotateResult(
        clips=len(labels),
        unlabelled=unlabelled,
        summaries=len(rows) - len(questions),
        questions=len(questions),
        answer_types=dict(Counter(row["answer_type"] for row in questions)),
        families=dict(Counter(row["family"] for row in questions)),
        path=path,
    )


def _rows(writer: Writer, batch: pa.RecordBatch) -> tuple[pa.Table, int]:
    """The annotations of a batch of clips, and of how many of them nothing is known."""
    written = [writer.write(clip_from_row(row)) for row in batch.to_pylist()]
    rows = [asdict(annotation) for annotations in written for annotation in annotations]
    return pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA), sum(not annotations for annotations in written)
