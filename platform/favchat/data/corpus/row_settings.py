"""The settings that a clip's rows depend on, recorded beside the rows, so that one corpus has one set of them."""

from __future__ import annotations

from typing import Any

from upath import UPath

from favchat.config import Config, ConfigError, DataConfig, flatten
from favchat.data.corpus.parquet_files import parquet_files
from favchat.data.corpus.schema import REJECTS, SHARDS
from favchat.io.paths import path_of
from favchat.io.settings_record import check_settings as insist
from favchat.io.settings_record import keep_settings, kept_settings
from favchat.video.specification import ClipSpecification

RECORD = "settings.json"
"""Name of the record in ``data.out``."""


def row_settings(config: Config) -> dict[str, Any]:
    """Dotted key -> value of every setting that affects rows; paths and resources do not."""
    keys = {"frames", "faces", "cuts", "filters", "splits", "duplicates", "encoding"}
    keys |= {"jpeg_quality"} if config.data.encoding == "jpeg" else set()
    settings = flatten({"data": config.data.model_dump(mode="json", include=keys)})
    # Of these rows the seed affects only the splits.
    return settings | ({"seed": config.seed} if len(config.data.splits) > 1 else {})


def corpus_specification(out: str) -> ClipSpecification:
    """The clip specification that a corpus was prepared with.

    Args:
        out: Its folder (``data.out``).

    Raises:
        ConfigError: There is no corpus, or one of another version.
    """
    kept = kept_settings(path_of(out) / RECORD)
    if kept is None:
        raise ConfigError(f"data.out = {out}: no {RECORD} there that says how it was made; run `favchat prepare` first")
    sections: dict[str, Any] = {}
    for key, value in kept.items():
        place = sections
        *parents, name = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    wanted = {
        name: sections["data"][name]
        for name in ("frames", "faces", "cuts", "encoding", "jpeg_quality")
        if name in sections["data"]
    }
    return ClipSpecification.of(DataConfig(**wanted))


def check_settings(config: Config, out: UPath) -> None:
    """Record the settings in a new output folder; in one that has rows, insist on the same ones.

    Raises:
        ConfigError: Rows lie there that were made with other settings; the message names them.
    """
    record, settings = out / RECORD, row_settings(config)
    if not any(parquet_files(out / folder) for folder in (SHARDS, REJECTS)):
        keep_settings(record, settings)
        return
    if not record.exists():
        raise ConfigError(f"data.out: {out} holds rows, but no {RECORD} that says how they were made; choose another")
    insist(
        record,
        settings,
        row_settings(Config()),
        f"data.out: {out} holds rows made with other settings; choose another, or delete that folder",
    )
