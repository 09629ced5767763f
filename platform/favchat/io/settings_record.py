"""Records of the settings that an output folder was made with, so that results of other settings are not mixed in.

A record is a JSON file, dotted key -> value. `prepare`, `annotate`, `train`, `tune` and `evaluate` each write one, with
the settings that their output depends on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from upath import UPath

from favchat.errors import ConfigError
from favchat.io.files import write_text_whole
from favchat.io.paths import absolute

Settings = Mapping[str, Any]
"""Dotted key -> value, as JSON knows it."""


def settings_of(section: BaseModel, prefix: str, exclude: Collection[str] = ()) -> dict[str, Any]:
    """The settings of a section and its subsections; free-form values, such as mappings, are not flattened.

    Args:
        section: A section of the configuration.
        prefix: Begins the keys, such as ``model.``.
        exclude: Names of settings of the section itself to leave out.
    """
    found: dict[str, Any] = {}
    for name, value in section.model_dump(mode="json", exclude=set(exclude)).items():
        part = getattr(section, name)
        found |= settings_of(part, f"{prefix}{name}.") if isinstance(part, BaseModel) else {f"{prefix}{name}": value}
    return found


def kept_settings(record: Path | UPath) -> dict[str, Any] | None:
    """The settings of a record; None where there is none.

    Raises:
        ConfigError: It is no such record.
    """
    if not record.exists():
        return None
    try:
        settings = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{record}: no settings that can be read: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{record}: no settings that can be read: it is no mapping")
    return settings


def keep_settings(record: Path | UPath, settings: Settings) -> None:
    """Write a record; creates its folder.

    Raises:
        OSError: The folder cannot be written.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    write_text_whole(record, json.dumps(settings, indent=2))


def changes(before: Settings, now: Settings, defaults: Settings) -> list[str]:
    """One line for each changed setting, with its old and new value.

    Args:
        before: Of a record.
        now: As ``before``.
        defaults: Values of settings that the record lacks, because an earlier version did not have them.
    """
    return [
        f"{key} was {was!r} and is {now.get(key)!r} now"
        for key in sorted(before.keys() | now.keys())
        if (was := before.get(key, defaults.get(key))) != now.get(key)
    ]


def check_settings(record: Path | UPath, now: Settings, defaults: Settings, refusal: str) -> None:
    """Check that settings equal those of a record, if there is one.

    Args:
        record: The file.
        now: The settings.
        defaults: As for :func:`changes`.
        refusal: Start of the error message: what the folder holds, and what to do.

    Raises:
        ConfigError: The record has other settings; the message names each one with both values.
    """
    before = kept_settings(record)
    if before is None:
        return
    if isinstance(before.get("data.out"), str):  # earlier versions recorded it as typed
        before["data.out"] = absolute(before["data.out"])
    changed = changes(before, now, defaults)
    if before.keys() == {"key"}:
        changed = ["that record is of an earlier version, which kept a hash alone: none of them can be compared"]
    if changed:
        raise ConfigError("\n".join([refusal, *(f"  {line}" for line in changed)]))
