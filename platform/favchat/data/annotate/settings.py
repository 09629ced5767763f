"""The settings that a writer's rows depend on, recorded beside the annotations; and which files are whose."""

from __future__ import annotations

import re
from typing import Any

from upath import UPath

from favchat.config import Config
from favchat.data.corpus.parquet_files import parquet_files
from favchat.data.corpus.schema import ANNOTATIONS
from favchat.io.settings_record import changes, keep_settings, kept_settings, settings_of

RECORDS = "annotation_settings"
"""Folder of the records below ``data.out``, one a writer."""
_SPEED = {"api_key_env", "concurrency", "timeout_s", "attempts", "requests_per_minute", "token_limit", "backoff_s"}
"""Settings of an endpoint that change no row."""


def annotation_settings(config: Config) -> dict[str, Any]:
    """Dotted key -> value of every setting that affects the rows of the writer in ``annotate.writer``."""
    annotate = config.annotate
    settings = {"seed": config.seed} | settings_of(annotate, "annotate.", {"writer", "endpoint"})
    if annotate.writer == "endpoint":
        settings |= settings_of(annotate.endpoint, "annotate.endpoint.", {"cache", *_SPEED})
    return settings


def changed_settings(config: Config, out: UPath, writer: str) -> list[str]:
    """Settings that differ from those of a writer's existing rows, one line each; empty without rows."""
    before = kept_settings(out / RECORDS / f"{writer}.json")
    if before is None or not files_of(out / ANNOTATIONS, writer):
        return []
    return changes(before, annotation_settings(config), annotation_settings(Config()))


def keep_annotation_settings(config: Config, out: UPath, writer: str) -> None:
    """Record the settings of the rows that a writer has written.

    Raises:
        OSError: The record cannot be written.
    """
    keep_settings(out / RECORDS / f"{writer}.json", annotation_settings(config))


def files_of(folder: UPath, name: str) -> list[UPath]:
    """The files of a writer in a folder of annotations or of their rejects."""
    return [file for file in parquet_files(folder) if writer_of(file.stem) == name]


def writer_of(stem: str) -> str:
    """The writer whose rows a file holds, by its name without the suffix: a large corpus has several of each."""
    return re.sub(r"-\d{5}$", "", stem)


def corpus_annotation_settings(out: UPath) -> dict[str, Any]:
    """The recorded settings of all rows of a corpus, with the writer's name in each key."""
    found: dict[str, Any] = {}
    for name in sorted({writer_of(file.stem) for file in parquet_files(out / ANNOTATIONS)}):
        kept = kept_settings(out / RECORDS / f"{name}.json") or {}
        found |= {f"{key} of the writer '{name}'": value for key, value in kept.items()}
    return found
