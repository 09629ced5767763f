"""``annotate``: writes summaries and questions from the shards' labels, then checks, scores and selects them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import pyarrow as pa
from upath import UPath

from favchat.config import Config, ConfigError, SelectionConfig
from favchat.data.annotate import row_scores
from favchat.data.annotate.everyday_writer import EverydayWriter
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import Check, check, truths
from favchat.data.annotate.rows import Annotation, Writer
from favchat.data.annotate.selection import Candidate, repeats, select
from favchat.data.annotate.settings import changed_settings, keep_annotation_settings
from favchat.data.annotate.template_writer import TemplateWriter
from favchat.data.annotate.text_duplicates import near_groups
from favchat.data.corpus.clip import clip_from_row
from favchat.data.corpus.parquet_files import read_folder, write_whole
from favchat.data.corpus.requirements import TWO_WAYS
from favchat.data.corpus.schema import (
    ANNOTATION_REJECT_SCHEMA,
    ANNOTATION_REJECTS,
    ANNOTATION_SCHEMA,
    ANNOTATIONS,
    LABEL_COLUMNS,
    SCORES,
    SHARDS,
    TEXT_SCHEMA,
)
from favchat.io.paths import path_of


@dataclass(frozen=True, slots=True)
class AnnotateResult:
    """Result of ``annotate``."""

    clips: int
    """Clips in the shards."""
    unwritten: int
    """Of these, the ones without an annotation: nothing is known of them, or the writer failed on them."""
    rejects: pa.Table | None
    """The ones the writer failed on, with the columns of ``schema.ANNOTATION_REJECT_SCHEMA``; None: it cannot fail."""
    rows: pa.Table
    """All annotations, with the columns of ``schema.ANNOTATION_SCHEMA``."""
    path: UPath
    """The file of the annotations."""
    changed: tuple[str, ...] = ()
    """The settings that are other ones than those of the rows that these replaced, each with both values."""

    @property
    def rejected(self) -> int:
        """Number of clips that the writer failed on."""
        return len(self.rejects) if self.rejects is not None else 0

    @property
    def summaries(self) -> int:
        """Number of summaries."""
        return self.rows["task"].to_pylist().count("summary")

    @property
    def questions(self) -> int:
        """Number of questions."""
        return len(self.rows) - self.summaries

    @property
    def nothing_known(self) -> bool:
        """Whether no row was written because no clip has usable labels."""
        return not len(self.rows) and not self.rejected

    def summary(self) -> str:
        """One line for the terminal; several if nothing could be written."""
        if self.nothing_known:
            return f"annotated none of {self.clips} clips -> {self.path}\n{TWO_WAYS}"
        text = f"annotated {self.clips - self.unwritten} of {self.clips} clips"
        text += f": {self.summaries} summaries, {self.questions} questions, {sum(self.rows['selected'].to_pylist())} of"
        text += " them selected"
        if self.rejected:
            text += f"; {self.rejected} clips rejected"
        if self.unwritten > self.rejected:
            text += f"; nothing is known of the other {self.unwritten - self.rejected}"
        if self.changed:
            text += f"; in place of rows made with other settings ({', '.join(self.changed)})"
        return f"{text} -> {self.path}"


def annotate(config: Config, writer: Writer | None = None) -> AnnotateResult:
    """Write the annotations of every clip in the shards, replacing earlier ones of the same writer.

    A corpus without labels is not an error: the template writer then writes an empty file, and the result's summary
    says what can be done instead.

    Args:
        config: The whole configuration; ``data.out``, ``annotate``, ``ray`` and ``seed`` are used.
        writer: Writes the rows; by default the one that ``annotate.writer`` names.

    Raises:
        ConfigError: A setting is invalid, there are no shards below ``data.out``, or one cannot be read.
        OSError: The file cannot be written.
    """
    out = path_of(config.data.out or "")
    writer = writer or _writer(config, out)
    written = writer.write(out / SHARDS)
    rows = scored(written.rows, read_folder(out / SHARDS, _COLUMNS), config.annotate.selection)
    path = out / ANNOTATIONS / f"{writer.name}.parquet"
    changed = changed_settings(config, out, writer.name)
    write_whole(rows, path)
    keep_annotation_settings(config, out, writer.name)
    failed = out / ANNOTATION_REJECTS / f"{writer.name}.parquet"
    if written.rejects is not None:
        write_whole(written.rejects.cast(ANNOTATION_REJECT_SCHEMA), failed)
    return AnnotateResult(
        clips=written.clips,
        unwritten=written.clips - len(set(rows["clip_id"].to_pylist())),
        rejects=written.rejects,
        rows=rows,
        path=path,
        changed=tuple(changed),
    )


_COLUMNS = [*LABEL_COLUMNS, *row_scores.FACE_COLUMNS]


def scored(texts: pa.Table, shards: pa.Table, settings: SelectionConfig) -> pa.Table:
    """Check every row against its clip's labels, score it, and select the high-quality subset.

    Args:
        texts: Columns of ``schema.TEXT_SCHEMA``.
        shards: The clips, with the columns of ``schema.LABEL_COLUMNS`` and ``row_scores.FACE_COLUMNS``.
        settings: The ``annotate.selection`` section.

    Returns:
        `texts` with the further columns of ``schema.ANNOTATION_SCHEMA``.
    """
    rows = [
        Annotation(*values) for values in zip(*(texts[name].to_pylist() for name in TEXT_SCHEMA.names), strict=True)
    ]
    checks = _checks(rows, shards)
    faces = row_scores.face_quality(shards)
    rare = row_scores.rarity(rows)
    columns: dict[str, list[float]] = {name: [] for name in SCORES}
    for row, found, rarity in zip(rows, checks, rare, strict=True):
        values = {
            "consistency": row_scores.consistency(found),
            "specificity": row_scores.specificity(row.answer),
            "face_quality": faces[row.clip_id],
            "length": row_scores.length(row.answer, row.task),
            "rarity": rarity,
        }
        values["quality"] = row_scores.weighted(values, settings.weights.model_dump())
        for name, value in values.items():
            columns[name].append(value)
    groups = near_groups([f"{row.question} {row.answer}" for row in rows], settings.near_duplicate)
    candidates = [
        Candidate(row, quality, bool(row.attributes) and not found.contradicted, group)
        for row, quality, found, group in zip(rows, columns["quality"], checks, groups, strict=True)
    ]
    repeated = repeats(candidates, settings.max_copies)
    more = {
        "contradictions": [found.contradicted for found in checks],
        **columns,
        "duplicate": repeated,
        "selected": select(candidates, repeated, settings.share),
    }
    for name in ANNOTATION_SCHEMA.names[len(TEXT_SCHEMA) :]:
        field = ANNOTATION_SCHEMA.field(name)
        texts = texts.append_column(field, pa.array(more[name], field.type))
    return texts


def _checks(rows: list[Annotation], shards: pa.Table) -> list[Check]:
    labels = shards.select([*LABEL_COLUMNS])
    known: dict[str, tuple[dict[str, bool], tuple[str, ...]]] = {}
    for batch in labels.to_batches(max_chunksize=4096):
        for clip in map(clip_from_row, batch.to_pylist()):
            clip_labels = known_labels_of(clip)
            known[clip.id] = (truths(clip_labels), tuple(segment.emotion for segment in clip_labels.segments))
    return [check(row.question, row.answer, row.answer_type, *known[row.clip_id]) for row in rows]


def _writer(config: Config, out: UPath) -> Writer:
    settings = config.annotate
    if settings.writer == "template":
        return TemplateWriter(config.seed, settings.summaries_per_clip, settings.questions_per_clip)
    if settings.writer == "everyday":
        return EverydayWriter(config.seed, settings.questions_per_attribute)
    if find_spec("openai") is None:
        raise ConfigError("annotate.writer = endpoint: install favchat[annotate]; openai is missing")
    from favchat.data.annotate.endpoint_writer import EndpointWriter

    return EndpointWriter(config, out)
