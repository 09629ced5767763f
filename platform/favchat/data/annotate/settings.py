"""The settings that decide what a writer's rows hold: they are kept beside the annotations."""

from __future__ import annotations

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
    """Dotted key -> value of every setting that changes the rows of the writer that ``annotate.writer`` names."""
    annotate = config.annotate
    settings = {"seed": config.seed} | settings_of(annotate, "annotate.", {"writer", "endpoint"})
    if annotate.writer == "endpoint":
        settings |= settings_of(annotate.endpoint, "annotate.endpoint.", {"cache", *_SPEED})
    return settings


def changed_settings(config: Config, out: UPath, writer: str) -> list[str]:
    """What is another one now than when a writer's rows in a corpus were written; a line each, none without rows."""
    before = kept_settings(out / RECORDS / f"{writer}.json")
    if before is None or not (out / ANNOTATIONS / f"{writer}.parquet").exists():
        return []
    return changes(before, annotation_settings(config), annotation_settings(Config()))


def keep_annotation_settings(config: Config, out: UPath, writer: str) -> None:
    """Record the settings of the rows that a writer has written.

    Raises:
        OSError: The record cannot be written.
    """
    keep_settings(out / RECORDS / f"{writer}.json", annotation_settings(config))


def corpus_annotation_settings(out: UPath) -> dict[str, Any]:
    """The settings of all rows that lie in a corpus, each key with the name of its writer."""
    found: dict[str, Any] = {}
    for file in parquet_files(out / ANNOTATIONS):
        kept = kept_settings(out / RECORDS / f"{file.stem}.json") or {}
        found |= {f"{key} of the writer '{file.stem}'": value for key, value in kept.items()}
    return found
