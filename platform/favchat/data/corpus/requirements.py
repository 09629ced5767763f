"""Checks that a corpus holds what a job needs; reads only the footers of its files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from favchat.config import ConfigError
from favchat.data.corpus.parquet_files import arrow_source, parquet_files
from favchat.data.corpus.schema import ANNOTATIONS, SHARDS
from favchat.io.paths import path_of

TWO_WAYS = (
    "Nothing is known of its clips, and templates write from labels alone. Two ways on: a model behind a server that "
    "looks at the frames (annotate.writer=endpoint, annotate.endpoint.base_url=..., annotate.endpoint.model=...), or a "
    "trained model's own attribute scores (annotate.writer=model)"
)
"""What to tell whose corpus has no labels."""


class NoAnnotationsError(ConfigError):
    """A corpus has no annotations, or none with a row."""


def check_corpus(out: str, *, annotations: bool) -> None:
    """Check that a corpus has clips and, if needed, annotations.

    Args:
        out: The corpus (``data.out``).
        annotations: Whether they are needed.

    Raises:
        ConfigError: The corpus does not exist or lacks them; the message says what to do.
    """
    place = path_of(out)
    if not place.is_dir():
        raise ConfigError(f"data.out = {out}: no such folder; run `favchat prepare` first")
    if not parquet_files(place / SHARDS):
        raise ConfigError(f"data.out = {out}: no Parquet file in {place / SHARDS}; run `favchat prepare` first")
    if not annotations:
        return
    files = parquet_files(place / ANNOTATIONS)
    if not files:
        raise NoAnnotationsError(f"data.out = {out}: no annotations there; run `favchat annotate` first")
    if not any(map(_rows, files)):
        raise NoAnnotationsError(f"data.out = {out}: its annotations hold no row. {TWO_WAYS}")


def _rows(file: UPath) -> int:
    try:
        with arrow_source(file) as source:
            return int(pq.ParquetFile(source).metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"data.out: {file} is no Parquet file: {error}") from error
