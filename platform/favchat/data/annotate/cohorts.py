"""Cohorts: the clips of a corpus that are annotated together, and the tasks that do it.

What balances, compares and selects rows needs many of them, and they need memory. A corpus of more than `COHORT` clips
is therefore divided by a hash of the clips' ids: each cohort is a random sample of the corpus that does not depend on
how the clips lie in shards, and is annotated by itself. Finished cohorts are kept until all are, so that a run that was
killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from favchat.config import Config
from favchat.data.annotate import row_scores
from favchat.data.annotate.counts import AnnotationCounts, count_rows
from favchat.data.annotate.rows import Writer
from favchat.data.annotate.scored_rows import scored
from favchat.data.annotate.settings import annotation_settings, files_of
from favchat.data.corpus.buckets import buckets_of
from favchat.data.corpus.ledger import Part, ledger_parts
from favchat.data.corpus.parquet_files import arrow_source, sized_files, write_whole
from favchat.data.corpus.schema import (
    ANNOTATION_REJECT_SCHEMA,
    ANNOTATION_REJECTS,
    ANNOTATIONS,
    LABEL_COLUMNS,
    SHARDS,
)
from favchat.io.files import remove_tree

if TYPE_CHECKING:
    from ray.data import Dataset

COHORT = 10_000
"""Clips, about, of a cohort; a corpus of fewer is one."""
IN_DRIVER = 2_000
"""Up to so many clips are annotated in the process that asks for it; of more, tasks of Ray Data are."""
ANNOTATING = "annotating"
"""Folder below ``data.out`` of the finished cohorts of a run that goes on."""
COLUMNS = [*LABEL_COLUMNS, *row_scores.FACE_COLUMNS, "clip", "file"]
"""What annotating needs of the ledger."""
_TASK_MEMORY = 750 * 2**20  # a quarter more than a task of 10,000 clips was seen to take
_PARTITIONS = 64
_READER_CPUS = 0.25

Survey = Counter[tuple[str, bool]]


def write_cohort(
    rows: pa.Table, writer: Writer, survey: Survey, config: Config, folder: UPath, number: int
) -> AnnotationCounts:
    """Annotate the clips of a cohort and write its file, and that of the clips that the writer failed on.

    Args:
        rows: The clips, with the columns `COLUMNS` and those of the writer's ``extend``.
        writer: The writer.
        survey: Its counts of the whole corpus.
        config: ``annotate.selection`` and ``seed`` are used.
        folder: Where the files go.
        number: Names them.
    """
    rows = rows.sort_by("clip_id")
    written = writer.write(rows, survey)
    texts = scored(written.rows, rows, config.annotate.selection)
    rejects = written.rejects
    if rejects is not None:
        write_whole(rejects.cast(ANNOTATION_REJECT_SCHEMA), folder / ANNOTATION_REJECTS / f"{number:05d}.parquet")
    write_whole(texts, folder / f"{number:05d}.parquet")
    return count_rows(len(rows), texts, rejects, config.seed)


def annotate_cohorts(config: Config, writer: Writer, out: UPath, cohorts: int) -> tuple[UPath, AnnotationCounts]:
    """Annotate a large corpus with Ray Data: read the ledger, group its clips by cohort, write each in a task.

    Args:
        config: The whole configuration.
        writer: The writer.
        out: The corpus (``data.out``).
        cohorts: How many.

    Returns:
        The folder of the files, and the counts of all.
    """
    from favchat.runtime import ray_cluster
    from favchat.runtime.ray_data import quiet_execution

    ray_cluster.start(config.ray)
    folder = out / ANNOTATING / f"{writer.name}-{_fingerprint(config, writer, out, cohorts)}"
    survey, counts = Survey(), AnnotationCounts()
    with quiet_execution():
        if writer.surveys:
            for row in _clips(writer, out).map_batches(partial(_survey, writer), batch_format="pyarrow").iter_rows():
                survey.update(pickle.loads(row["survey"]))  # noqa: S301 - what a task of this run has made
        work = partial(_annotate, writer, survey, config, folder)
        grouped = _clips(writer, out, cohorts).groupby("cohort", num_partitions=min(cohorts, _PARTITIONS))
        for row in grouped.map_groups(work, batch_format="pyarrow", num_cpus=1, memory=_TASK_MEMORY).iter_rows():
            counts.add(pickle.loads(row["counts"]))  # noqa: S301
    return folder, counts


def _clips(writer: Writer, out: UPath, cohorts: int | None = None) -> Dataset:
    """The rows of the shards, with the number of their cohort if it is given how many there are."""
    import ray

    parts = ledger_parts(out)
    shared = ray.put(parts)
    numbers = ray.data.from_items([{"part": number} for number in range(len(parts))], override_num_blocks=len(parts))
    read = partial(_read, shared, writer, out, cohorts)
    return numbers.map_batches(read, batch_size=1, batch_format="pyarrow", num_cpus=_READER_CPUS)


def _read(shared: Any, writer: Writer, out: UPath, cohorts: int | None, numbers: pa.Table) -> pa.Table:
    import ray

    parts: list[Part] = ray.get(shared)
    rows = pa.concat_tables([parts[number].read(COLUMNS, kept=True) for number in numbers["part"].to_pylist()])
    rows = writer.extend(rows, out)
    if cohorts is not None:
        rows = rows.append_column("cohort", pa.array(buckets_of(rows["clip"].to_pylist(), cohorts)))
    return rows


def _survey(writer: Writer, rows: pa.Table) -> pa.Table:
    return pa.table({"survey": [pickle.dumps(writer.survey(rows))]})


def _annotate(writer: Writer, survey: Survey, config: Config, folder: UPath, rows: pa.Table) -> pa.Table:
    """Annotate one cohort, unless an earlier run that was killed has: its counts, pickled."""
    number = rows["cohort"][0].as_py()
    done, failed = folder / f"{number:05d}.parquet", folder / ANNOTATION_REJECTS / f"{number:05d}.parquet"
    if done.exists() and not (failed.exists() and len(_table(failed))):
        rejects = _table(failed) if failed.exists() else None
        counts = count_rows(len(rows), _table(done), rejects, config.seed)
    else:
        counts = write_cohort(rows.drop_columns(["cohort"]), writer, survey, config, folder, number)
    return pa.table({"counts": [pickle.dumps(counts)]})


def _table(file: UPath) -> pa.Table:
    with arrow_source(file) as source:
        return pq.read_table(source, partitioning=None)


def _fingerprint(config: Config, writer: Writer, out: UPath, cohorts: int) -> str:
    """What the finished cohorts of a run depend on: other settings or other shards begin anew."""
    known = [annotation_settings(config), writer.version(out), sized_files(out / SHARDS), cohorts]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def publish(out: UPath, name: str, staged: UPath, cohorts: int) -> list[UPath]:
    """Give a writer's files their place, instead of its earlier ones.

    Args:
        out: The corpus (``data.out``).
        name: The writer's name.
        staged: The folder with the files of all cohorts.
        cohorts: How many there are; a single one has the writer's name alone.

    Returns:
        The files of annotations.
    """
    names = [f"{name}.parquet" if cohorts == 1 else f"{name}-{number:05d}.parquet" for number in range(cohorts)]
    for source, target in ((staged, out / ANNOTATIONS), (staged / ANNOTATION_REJECTS, out / ANNOTATION_REJECTS)):
        moved = [(source / f"{number:05d}.parquet", file) for number, file in enumerate(names)]
        moved = [(file, place) for file, place in moved if file.exists()]
        if not moved:
            continue
        target.mkdir(parents=True, exist_ok=True)
        for file, place in moved:
            file.rename(target / place)
        for file in files_of(target, name):
            if file.name not in {place for _, place in moved}:
                file.unlink()
    remove_tree(out / ANNOTATING)
    return [out / ANNOTATIONS / file for file in names]
