"""Brings a list of clips and the ledger together, clip by clip: at once, or of a long list in tasks of Ray Data.

A long list and its ledger are grouped by a hash of the clips' ids, as a join does it; each group has all that is listed
and all that is held of some clips, and is worked on in a task. The driver sees what the tasks count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from favchat.data.corpus.buckets import buckets_of
from favchat.data.corpus.ledger import Part, ledger_parts, read_ledger
from favchat.data.corpus.parquet_files import arrow_place, arrow_source
from favchat.data.corpus.schema import LEDGER_SCHEMA
from favchat.runtime.ray_data import quiet_execution

if TYPE_CHECKING:
    from ray.data import Dataset
    from ray.data.grouped_data import GroupedData

PLANNING = "planning"
"""Folder below ``data.out`` of a long list, and of what is missing of it, while it is processed."""
IN_DRIVER = 100_000
"""Up to so many listed clips are looked at in the process that asks; more are in tasks."""
BUCKET = 50_000
"""Listed clips, about, of a task."""
_PARTITIONS = 64
_READER_CPUS = 0.25

Work = Callable[[pa.Table, pa.Table, int], pa.Table]
"""From the listed clips, the ledger's rows of the same clips and the number of their bucket to a table of results."""


@dataclass(frozen=True)
class ClipList:
    """Clips in tables, or in Parquet files below ``data.out``."""

    rows: int
    tables: Sequence[pa.Table] = ()
    files: Sequence[UPath] = ()

    @property
    def large(self) -> bool:
        """Whether tasks look at it."""
        return self.rows > IN_DRIVER

    def table(self) -> pa.Table:
        """All of a list that is not large."""
        return pa.concat_tables(self.each())

    def each(self) -> Iterator[pa.Table]:
        """Its tables, of which files are read one at a time."""
        yield from self.tables
        for file in self.files:
            with arrow_source(file) as source:
                yield pq.read_table(source, partitioning=None)

    def dataset(self, columns: Sequence[str]) -> Dataset:
        """The list as a dataset, in its order."""
        import ray

        if not self.files:
            return ray.data.from_arrow([table.select(list(columns)) for table in self.tables])
        places, system = [arrow_place(file)[0] for file in self.files], arrow_place(self.files[0])[1]
        return ray.data.read_parquet(places, filesystem=system, columns=list(columns), num_cpus=_READER_CPUS)


def by_clip(
    listed: ClipList, list_columns: Sequence[str], out: UPath, ledger_columns: Sequence[str], work: Work
) -> Iterator[pa.Table]:
    """Give `work` all that is listed and held of clips; Ray has to run where the list is large.

    Args:
        listed: The list.
        list_columns: Its columns that are needed, ``clip_id`` among them.
        out: The corpus (``data.out``).
        ledger_columns: Columns of ``LEDGER_SCHEMA`` that are needed, ``clip`` among them. In tasks only rows of the
            clips that hash to the same bucket come, which are more than the listed ones.
        work: What is done; what it returns must not grow with the number of clips.

    Yields:
        The results of `work`.
    """
    if not listed.large:
        yield work(listed.table().select(list(list_columns)), read_ledger(out, ledger_columns), 0)
        return
    with quiet_execution():
        grouped = _grouped(listed, list_columns, out, ledger_columns)
        done = grouped.map_groups(
            partial(_worked, list_columns, ledger_columns, work), batch_format="pyarrow", num_cpus=1
        )
        yield from done.iter_batches(batch_size=None, batch_format="pyarrow")


def _grouped(listed: ClipList, list_columns: Sequence[str], out: UPath, ledger_columns: Sequence[str]) -> GroupedData:
    """The rows of the list and of the ledger, which share one schema, by the buckets of their clips."""
    import ray

    count = -(-listed.rows // BUCKET)
    held = pa.schema([LEDGER_SCHEMA.field(name).with_name(f"ledger_{name}") for name in ledger_columns])
    clips = listed.dataset(list_columns).map_batches(
        partial(_listed_rows, held, count), batch_format="pyarrow", num_cpus=_READER_CPUS
    )
    parts = ledger_parts(out)
    if parts:
        schema = next(listed.each()).schema
        wanted = pa.schema([schema.field(name) for name in list_columns])
        shared = ray.put(parts)
        numbers = ray.data.from_items([{"part": n} for n in range(len(parts))], override_num_blocks=len(parts))
        read = partial(_held_rows, shared, ledger_columns, wanted, count)
        clips = clips.union(numbers.map_batches(read, batch_size=1, batch_format="pyarrow", num_cpus=_READER_CPUS))
    return clips.groupby("bucket", num_partitions=min(count, _PARTITIONS))


def _listed_rows(held: pa.Schema, count: int, rows: pa.Table) -> pa.Table:
    bucket = buckets_of(rows["clip_id"].to_pylist(), count)
    for field in held:
        rows = rows.append_column(field.with_nullable(True), pa.nulls(len(rows), field.type))
    return _plain(rows.append_column("bucket", pa.array(bucket)))


def _held_rows(shared: Any, columns: Sequence[str], listed: pa.Schema, count: int, numbers: pa.Table) -> pa.Table:
    import ray

    parts: list[Part] = ray.get(shared)
    rows = pa.concat_tables([parts[number].read(columns) for number in numbers["part"].to_pylist()])
    bucket = buckets_of(rows["clip"].to_pylist(), count)
    arrays = [pa.nulls(len(rows), field.type) for field in listed] + [rows[name] for name in columns]
    names = [*listed.names, *(f"ledger_{name}" for name in columns)]
    return _plain(pa.table([*arrays, pa.array(bucket)], [*names, "bucket"]))


def _plain(rows: pa.Table) -> pa.Table:
    """All columns nullable and without metadata, so that both kinds of rows have one schema."""
    return rows.cast(pa.schema([field.with_nullable(True).remove_metadata() for field in rows.schema]))


def _worked(list_columns: Sequence[str], ledger_columns: Sequence[str], work: Work, rows: pa.Table) -> pa.Table:
    of_list = pc.is_valid(rows["clip_id"])
    listed = rows.filter(of_list).select(list(list_columns))
    held = rows.filter(pc.invert(of_list)).select([f"ledger_{name}" for name in ledger_columns])
    return work(listed, held.rename_columns(list(ledger_columns)), rows["bucket"][0].as_py())
