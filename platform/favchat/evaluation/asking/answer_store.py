"""Answers on disk, in files written atomically, so that a run resumes with the unanswered questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from upath import UPath

from favchat.config import Config
from favchat.data.corpus.parquet_files import name_for, parquet_files, read_table, write_whole
from favchat.evaluation.asking.eval_question import ANSWER_SCHEMA
from favchat.hub.fingerprint import model_fingerprint
from favchat.hub.names import resolve_model
from favchat.io import settings_record
from favchat.io.paths import absolute
from favchat.io.settings_record import settings_of

ANSWERS = "answers"
SETTINGS = "settings.json"


def write_answers(rows: Sequence[dict[str, Any]], out: UPath) -> None:
    """Write answers to a file; writing the same ones twice gives one file.

    Raises:
        OSError: The folder cannot be written.
    """
    if rows:
        table = pa.Table.from_pylist(list(rows), schema=ANSWER_SCHEMA)
        write_whole(table, out / ANSWERS / name_for(table["item"].to_pylist()))


def read_answers(out: UPath, columns: Sequence[str] = tuple(ANSWER_SCHEMA.names)) -> dict[str, dict[str, Any]]:
    """Question key -> its answer, for all stored answers."""
    rows = [row for file in parquet_files(out / ANSWERS) for row in read_table(file, list(columns)).to_pylist()]
    return {row["item"]: row for row in rows}


def check_settings(config: Config, out: UPath) -> None:
    """Refuse to mix answers of two models, or of one model with two settings, in a folder.

    Raises:
        ConfigError: The folder holds answers with other settings.
        OSError: The folder cannot be written.
    """
    now = answer_settings(config)
    settings_record.check_settings(
        out / SETTINGS,
        now,
        settings_of(Config().evaluation, "evaluation."),
        f"evaluation.out = {config.evaluation.out} holds answers of other settings; choose another evaluation.out",
    )
    settings_record.keep_settings(out / SETTINGS, now)


def answer_settings(config: Config) -> dict[str, Any]:
    """The settings that answers depend on besides the questions.

    Raises:
        ConfigError: There is no such model.
    """
    settings = config.evaluation
    common = {"data.out": absolute(config.data.out or ""), "evaluation.hints": settings.hints}
    if settings.model:
        model = resolve_model(settings.model, config.tracking)
        return common | {
            "weights of evaluation.model": model_fingerprint(model),
            "evaluation.max_new_tokens": settings.max_new_tokens,
        }
    asked = settings_of(settings.server, "evaluation.server.")
    decisive = ("base_url", "model", "media", "frames", "parameters")
    return common | {key: asked[key] for key in (f"evaluation.server.{name}" for name in decisive)}
