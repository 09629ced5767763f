"""``annotate``: writes summaries and questions from the ledger's labels, then checks, scores and selects them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec

from upath import UPath

from favchat.config import Config, ConfigError
from favchat.data.annotate.cohorts import (
    ANNOTATING,
    COHORT,
    COLUMNS,
    IN_DRIVER,
    annotate_cohorts,
    publish,
    write_cohort,
)
from favchat.data.annotate.counts import AnnotationCounts
from favchat.data.annotate.everyday_writer import EverydayWriter
from favchat.data.annotate.rows import Writer
from favchat.data.annotate.settings import changed_settings, keep_annotation_settings
from favchat.data.annotate.template_writer import TemplateWriter
from favchat.data.corpus.ledger import ledger_files, shard_rows
from favchat.data.corpus.requirements import TWO_WAYS
from favchat.data.corpus.schema import ANNOTATIONS, SHARDS
from favchat.io.paths import path_of


@dataclass(frozen=True, slots=True)
class AnnotateResult:
    """Result of ``annotate``."""

    counts: AnnotationCounts
    """Counts of what was written."""
    path: UPath
    """The file of the annotations; their folder, where a large corpus has several."""
    files: tuple[UPath, ...]
    """All of the writer's files."""
    changed: tuple[str, ...] = ()
    """The settings that are other ones than those of the rows that these replaced, each with both values."""

    @property
    def clips(self) -> int:
        """Clips in the shards."""
        return self.counts.clips

    @property
    def unwritten(self) -> int:
        """Of these, the ones without an annotation: nothing is known of them, or the writer failed on them."""
        return self.counts.clips - self.counts.annotated

    @property
    def rejected(self) -> int:
        """Number of clips that the writer failed on."""
        return self.counts.rejects.total()

    @property
    def summaries(self) -> int:
        """Number of summaries."""
        return self.counts.of_task("summary")

    @property
    def questions(self) -> int:
        """Number of questions."""
        return self.counts.of_task("qa")

    @property
    def nothing_known(self) -> bool:
        """Whether no row was written because no clip has usable labels."""
        return not self.counts.rows and not self.rejected

    def summary(self) -> str:
        """One line for the terminal; several if nothing could be written."""
        if self.nothing_known:
            return f"annotated none of {self.clips} clips -> {self.path}\n{TWO_WAYS}"
        text = f"annotated {self.clips - self.unwritten} of {self.clips} clips"
        text += f": {self.summaries} summaries, {self.questions} questions, {self.counts.selected} of"
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
    says what can be done instead. A run that was killed goes on with the clips that are left.

    Args:
        config: The whole configuration; ``data.out``, ``annotate``, ``ray`` and ``seed`` are used.
        writer: Writes the rows; by default the one that ``annotate.writer`` names.

    Raises:
        ConfigError: A setting is invalid, there are no shards below ``data.out``, or one cannot be read.
        OSError: The file cannot be written.
    """
    out = path_of(config.data.out or "")
    writer = writer or _writer(config, out)
    shards = ledger_files(out, SHARDS)
    if not shards:
        raise ConfigError(f"data.out: no Parquet file in {out / SHARDS}; run `favchat prepare` first")
    clips = sum(shards.values())
    writer.begin(out)
    changed = changed_settings(config, out, writer.name)
    if clips <= IN_DRIVER:
        rows = writer.extend(shard_rows(out, COLUMNS), out)
        survey = writer.survey(rows) if writer.surveys else Counter[tuple[str, bool]]()
        cohorts, staged = 1, out / ANNOTATING / writer.name
        counts = write_cohort(rows, writer, survey, config, staged, 0)
    else:
        cohorts = -(-clips // COHORT)
        staged, counts = annotate_cohorts(config, writer, out, cohorts)
    files = publish(out, writer.name, staged, cohorts)
    keep_annotation_settings(config, out, writer.name)
    path = files[0] if cohorts == 1 else out / ANNOTATIONS
    return AnnotateResult(counts, path, tuple(files), tuple(changed))


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
