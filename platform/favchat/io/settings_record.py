"""What lies in a folder was made with some settings: they are kept beside it, so that no results of others mix in.

A record is a JSON file, dotted key -> value. `prepare`, `annotate`, `train`, `tune` and `evaluate` all keep one, of the
settings that decide what each of them makes.
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
    """The settings of a section and of those in it; one that is free in form, such as a mapping, stays whole.

    Args:
        section: A section of the configuration.
        prefix: Begins the keys, such as ``model.``.
        exclude: Names of settings of the section itself that do not count.
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
    """Write a record, in a folder that is made if need be.

    Raises:
        OSError: The folder cannot be written.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    write_text_whole(record, json.dumps(settings, indent=2))


def changes(before: Settings, now: Settings, defaults: Settings) -> list[str]:
    """A line for each setting that is another one now, with its value of before and of now.

    Args:
        before: Of a record.
        now: As ``before``.
        defaults: What a setting was that the record does not name: an earlier version had it not yet.
    """
    return [
        f"{key} was {was!r} and is {now.get(key)!r} now"
        for key in sorted(before.keys() | now.keys())
        if (was := before.get(key, defaults.get(key))) != now.get(key)
    ]


def check_settings(record: Path | UPath, now: Settings, defaults: Settings, refusal: str) -> None:
    """Insist on the settings of a record, where there is one.

    Args:
        record: The file.
        now: The settings.
        defaults: As for :func:`changes`.
        refusal: Begins the message: what lies there, and what to do.

    Raises:
        ConfigError: Other settings are kept there; the message names each one with both values.
    """
    before = kept_settings(record)
    if before is None:
        return
    if isinstance(before.get("data.out"), str):  # some were kept as they had been typed
        before["data.out"] = absolute(before["data.out"])
    changed = changes(before, now, defaults)
    if before.keys() == {"key"}:
        changed = ["that record is of an earlier version, which kept a hash alone: none of them can be compared"]
    if changed:
        raise ConfigError("\n".join([refusal, *(f"  {line}" for line in changed)]))
