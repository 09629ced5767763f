"""Statistics of a corpus: counts, quality measures and labels, for a terminal and as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.ledger import describe_files, read_ledger
from favchat.data.corpus.parquet_files import parquet_files
from favchat.data.corpus.schema import LEDGER_SCHEMA, QUALITY, REJECTS, SHARDS
from favchat.labels.attributes import ACTION, APPEARANCE

_COLUMNS = ["source", "split", "identity", "duration", "emotion", "appearance", "action", *QUALITY, "stage", "reason"]
_SHARES = (0.0, 0.05, 0.5, 0.95, 1.0)


NamedTable = tuple[str, list[str], list[list[str]]]
"""Title, headings and lines."""


@dataclass(frozen=True)
class Prevalence:
    """How often an attribute is labelled as present."""

    name: str
    yes: int
    no: int
    unknown: int


@dataclass(frozen=True)
class CorpusSummary:
    """Statistics of a folder of shards."""

    folder: UPath
    rows: int
    """Rows of the shards: clips, and further faces of clips."""
    rejected: int
    seconds: float
    """Length of all clips."""
    identities: int
    """How many identities the sources name."""
    sources: Mapping[str, tuple[int, int]]
    """Source -> rows in the shards, rejects."""
    splits: Mapping[str, int]
    """Split -> rows."""
    reasons: Mapping[str, tuple[int, str]]
    """Stage -> rejects, and the reason of one of them."""
    measures: Mapping[str, np.ndarray]
    """Measure of ``favchat.video.Quality`` -> (N,) float32, one value a row."""
    labels: list[Prevalence]
    """The attributes of appearance and action, in the dataset's order."""
    emotions: Mapping[str, int]
    """Emotion -> rows; ``unknown`` for those without one."""

    def show(self, console: Console | None = None) -> None:
        """Show the counts and measures as tables."""
        show_tables(self.tables(), console)

    def tables(self) -> list[NamedTable]:
        """Title, headings and lines of each table; only labels that are known in some row."""
        known = [label for label in self.labels if label.yes + label.no]
        return [
            (
                f"{self.rows:,} rows, {self.rejected:,} rejects, {self.seconds / 3600:.2f} hours, "
                f"{self.identities:,} named identities",
                ["source", "in shards", "rejected"],
                [[name, f"{kept:,}", f"{lost:,}"] for name, (kept, lost) in sorted(self.sources.items())],
            ),
            ("splits", ["split", "rows"], [[name, f"{count:,}"] for name, count in sorted(self.splits.items())]),
            (
                "rejects",
                ["stage", "clips", "for example"],
                [[stage, f"{count:,}", example] for stage, (count, example) in sorted(self.reasons.items())],
            ),
            (
                "quality measures",
                ["measure", "least", "5 %", "median", "95 %", "most"],
                [
                    [name, *(f"{value:.3g}" for value in np.quantile(values, _SHARES))]
                    for name, values in self.measures.items()
                    if len(values)
                ],
            ),
            (
                f"attributes: {len(known)} of {len(self.labels)} are known of any row",
                ["attribute", "yes", "no", "unknown"],
                [[label.name, f"{label.yes:,}", f"{label.no:,}", f"{label.unknown:,}"] for label in known],
            ),
            ("emotions", ["emotion", "rows"], [[name, f"{count:,}"] for name, count in sorted(self.emotions.items())]),
        ]


def show_tables(tables: list[NamedTable], console: Console | None = None) -> None:
    """Show tables on a terminal; empty ones are skipped."""
    console = console or Console()
    for title, headings, lines in tables:
        table = Table(title=title, title_justify="left")
        for index, heading in enumerate(headings):
            table.add_column(heading, justify="left" if index == 0 else "right")
        for line in lines:
            table.add_row(*line)
        if lines:
            console.print(table)


def shard_folder(folder: UPath) -> UPath:
    """The folder of the shards, given it or its corpus (``data.out``).

    If all clips of a corpus were rejected, it need not exist.

    Raises:
        ConfigError: There are no Parquet files.
    """
    for place in (folder / SHARDS, folder):
        if parquet_files(place):
            return place
    if parquet_files(folder / REJECTS):
        return folder / SHARDS
    raise ConfigError(f"{folder}: no shards here; give data.out of a `favchat prepare`, or a folder of Parquet shards")


def summarise(folder: UPath) -> CorpusSummary:
    """Read the ledger; of a folder of shards alone, their small columns.

    Args:
        folder: A corpus (``data.out``) or its folder of shards.

    Raises:
        ConfigError: There are neither shards nor rejects, or other Parquet files.
    """
    shards = shard_folder(folder)
    if shards == folder / SHARDS:
        every = read_ledger(folder, _COLUMNS)
    else:
        files = [file for name in (shards, shards.parent / REJECTS) for file in parquet_files(name)]
        every = pa.concat_tables([LEDGER_SCHEMA.empty_table(), *describe_files(files)]).select(_COLUMNS)
    rows = every.filter(pc.field("stage").is_null())
    lost_rows = every.filter(pc.field("stage").is_valid()).select(["source", "stage", "reason"]).to_pylist()
    kept_by, lost_by = Counter(rows["source"].to_pylist()), Counter(row["source"] for row in lost_rows)
    examples = {row["stage"]: row["reason"] for row in reversed(lost_rows)}
    return CorpusSummary(
        folder=folder,
        rows=rows.num_rows,
        rejected=len(lost_rows),
        seconds=float(rows["duration"].to_numpy().sum()),
        identities=len(set(rows["identity"].to_pylist()) - {None}),
        sources={name: (kept_by[name], lost_by[name]) for name in kept_by | lost_by},
        splits=Counter(rows["split"].to_pylist()),
        reasons={
            stage: (count, examples[stage]) for stage, count in Counter(row["stage"] for row in lost_rows).items()
        },
        measures={name: rows[name].to_numpy() for name in QUALITY},
        labels=[
            *_prevalence(rows["appearance"], [attribute.name for attribute in APPEARANCE]),
            *_prevalence(rows["action"], [attribute.name for attribute in ACTION]),
        ],
        emotions=Counter(name or "unknown" for name in rows["emotion"].to_pylist()),
    )


def _prevalence(column: pa.ChunkedArray, names: list[str]) -> list[Prevalence]:
    flat = column.combine_chunks().flatten()  # nulls within the lists are kept and become NaN below
    labels = flat.cast(pa.float32()).to_numpy(zero_copy_only=False).reshape(-1, len(names))
    yes, no = (labels == 1).sum(0), (labels == 0).sum(0)
    return [
        Prevalence(name, int(yes[index]), int(no[index]), int(len(labels) - yes[index] - no[index]))
        for index, name in enumerate(names)
    ]
