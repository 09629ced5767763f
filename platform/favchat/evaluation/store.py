"""Answers on disk: whole files that a killed run leaves behind, so that the next one asks only for what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from upath import UPath

from favchat.config import Config, ConfigError
from favchat.data.storage import name_for, parquet_files, read_table, write_whole
from favchat.evaluation.items import ANSWER_SCHEMA
from favchat.files import write_text_whole
from favchat.model_names import resolve_model

ANSWERS = "answers"
SETTINGS = "settings.json"
_EDGE = 1 << 20


def write_answers(rows: Sequence[dict[str, Any]], out: UPath) -> None:
    """Add answers; the same ones written twice are one file.

    Raises:
        OSError: The folder cannot be written.
    """
    if rows:
        table = pa.Table.from_pylist(list(rows), schema=ANSWER_SCHEMA)
        write_whole(table, out / ANSWERS / name_for(table["item"].to_pylist()))


def read_answers(out: UPath, columns: Sequence[str] = tuple(ANSWER_SCHEMA.names)) -> dict[str, dict[str, Any]]:
    """Item -> its answer, of all that lie there."""
    rows = [row for file in parquet_files(out / ANSWERS) for row in read_table(file, list(columns)).to_pylist()]
    return {row["item"]: row for row in rows}


def check_settings(config: Config, out: UPath) -> None:
    """Refuse to mix answers of two models, or of one asked in two ways, in a folder.

    Raises:
        ConfigError: Answers of other settings lie there.
        OSError: The folder cannot be written.
    """
    now = answer_settings(config)
    file = out / SETTINGS
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        other = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if other:
            key = other[0]
            raise ConfigError(
                f"evaluation.out = {config.evaluation.out} holds answers with {key} = {before.get(key)}, now it is "
                f"{now.get(key)}; choose another evaluation.out"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_text_whole(file, json.dumps(now, indent=2))


def answer_settings(config: Config) -> dict[str, Any]:
    """What answers depend on besides the questions.

    Raises:
        ConfigError: There is no such model.
    """
    settings = config.evaluation
    common = {"data.out": config.data.out, "evaluation.hints": settings.hints}
    if settings.model:
        return common | {
            "weights of evaluation.model": fingerprint(resolve_model(settings.model, config.tracking)),
            "evaluation.max_new_tokens": settings.max_new_tokens,
        }
    asked = settings.server
    return common | {
        "evaluation.server.base_url": asked.base_url,
        "evaluation.server.model": asked.model,
        "evaluation.server.media": asked.media,
        "evaluation.server.frames": asked.frames,
        "evaluation.server.parameters": asked.parameters,
    }


def fingerprint(model: str) -> str:
    """Tells checkpoints apart: a hash of the sizes, beginnings and ends of a directory's files, or a hub name."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.json")):
        with file.open("rb") as content:
            size = file.stat().st_size
            digest.update(f"{file.name} {size}".encode())
            digest.update(content.read(_EDGE))
            content.seek(max(0, size - _EDGE))
            digest.update(content.read(_EDGE))
    return digest.hexdigest()[:16]
