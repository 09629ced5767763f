"""Reads annotation files as text and JSON, and parses the numbers in them."""

from __future__ import annotations

import codecs
import json
import math
from typing import Any

from favchat.config import ConfigError
from favchat.io import paths

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose byte-order mark is a prefix of it
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Object(dict[str, Any]):
    """A JSON object that also keeps the earlier values of duplicate keys."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        """The last value of a key counts, as in the json module; the others are in ``earlier``."""
        super().__init__(pairs)
        self.earlier: list[tuple[str, Any]] = []
        if len(self) < len(pairs):
            last = {key: place for place, (key, _) in enumerate(pairs)}
            self.earlier = [(key, value) for place, (key, value) in enumerate(pairs) if last[key] != place]


def read_text(address: str, key: str) -> str:
    """Read a text file: UTF-8, or UTF-16 or UTF-32 with a byte-order mark.

    Args:
        address: The file.
        key: The setting that names it, for messages.

    Raises:
        ConfigError: It does not exist, cannot be read, or has another encoding.
    """
    content = paths.read_bytes(address)
    return decoded(content, f"{key}: {address}")


def decoded(content: bytes, origin: str) -> str:
    """Decode bytes as text, without the byte-order mark.

    Raises:
        ConfigError: They cannot be decoded.
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{origin} is no {encoding.upper()} text ({error}); save it as UTF-8") from error


def read_json(address: str, key: str, objects: tuple[str, ...], expected: str) -> Object:
    """Read a JSON file whose top level is an object of objects.

    Args:
        address: The file.
        key: The setting that names it, for messages.
        objects: Keys whose values must be objects.
        expected: Name of the format, for messages.

    Raises:
        ConfigError: It does not exist, is not JSON, or lacks one of them.
    """
    if not paths.is_file(paths.absolute(address)):
        raise ConfigError(f"{key}: {paths.absolute(address)} does not exist")
    text = read_text(paths.absolute(address), key)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ConfigError(f"{key}: {address} is no JSON file: {error}") from error
    for name in objects:
        if not isinstance(content, Object) or not isinstance(content.get(name), Object):
            raise ConfigError(f"{key}: {address} has no object '{name}'; {expected}'s format is expected")
    try:
        for name in content:
            if any(key == name and earlier != content[name] for key, earlier in content.earlier):
                raise ValueError(f"'{name}' is given twice")
    except RecursionError as error:
        raise ConfigError(f"{key}: {address} is nested too deeply") from error
    except ValueError as error:
        raise ConfigError(f"{key}: {address}: {error}, and which one counts is not known") from error
    return content


def parse_json(text: str) -> Any:
    """Parse JSON with its objects as ``Object``.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=Object)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_keys(value: Any) -> None:
    """Reject a JSON value with a duplicate key of different values.

    Raises:
        ValueError: There is such a key; the message names it.
    """
    inside = [value]
    while inside:
        value = inside.pop()
        if isinstance(value, Object):
            for key, earlier in value.earlier:
                if earlier != value[key]:
                    raise ValueError(f"'{key}' is given twice, as {earlier!r} and as {value[key]!r}")
            inside += value.values()
        elif isinstance(value, list):
            inside += value


def number(value: Any) -> float:
    """Parse a finite number, or a text that holds one.

    Raises:
        ValueError: It is not a finite number.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is no number")
    return found
