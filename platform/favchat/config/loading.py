"""Loads and validates a configuration from a YAML file and overrides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from favchat.config.overrides import escaped, read_value
from favchat.config.whole import Config
from favchat.errors import ConfigError
from favchat.io.files import expanded


def load(path: str | Path, overrides: list[str] | None = None, *, presets: Path | None = None) -> Config:
    """Read a YAML file, merge ``section.key=value`` overrides into it and validate the whole.

    Args:
        path: The YAML file; an empty file stands for the defaults.
        overrides: Settings such as ``training.num_workers=2``, the later ones winning.
        presets: A folder of YAML files whose bare names may be given for `path`; a file that lies at `path` goes before
            a preset of that name.

    Raises:
        ConfigError: The file is missing or is no YAML mapping, or a key, a type or a value is wrong. All faults are
            named at once.
    """
    path = Path(expanded(str(path)))
    if not path.is_file():
        names = sorted(file.stem for file in presets.glob("*.yaml")) if presets else []
        if presets is None or str(path) not in names:
            known = f", and no preset; the presets are {', '.join(names)}" if names else ""
            raise ConfigError(f"{path}: no such configuration file{known}")
        path = presets / f"{path}.yaml"
    try:
        loaded = OmegaConf.load(path)
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: not a YAML file: {error}") from error
    if isinstance(loaded, ListConfig):
        raise ConfigError(f"{path}: a configuration is a mapping of sections, this file holds a list")
    for word in overrides or []:
        apply_override(loaded, word)
    return validate(loaded, str(path))


def apply_override(settings: DictConfig, word: str) -> None:
    """Set one ``section.key=value`` in place.

    The value is what was typed, see :func:`favchat.config.overrides.read_value`; an index reaches into a list
    (``training.stages.0.steps=3``).

    Raises:
        ConfigError: The word is not of that form, or the key leads through something that is no section.
    """
    key, sign, text = word.partition("=")
    if not sign or not all(key.split(".")):
        raise ConfigError(f"'{word}' is not a setting: write section.key=value, such as training.num_workers=2")
    try:
        value = read_value(text, Config, key)
        OmegaConf.update(settings, key, escaped(value), force_add=True)
    except (OmegaConfBaseException, AttributeError, IndexError, TypeError, ValueError) as error:
        raise ConfigError(f"'{word}' cannot be set: {error}") from error


def validate(settings: DictConfig, origin: str) -> Config:
    """Check merged settings against the schema; ``origin`` names them in the error.

    Raises:
        ConfigError: One line a fault, with the full key and, for an unknown key, the nearest one that exists.
    """
    try:
        values = OmegaConf.to_container(settings, resolve=True)
        return Config.model_validate(values)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{origin}: {error}") from error
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors()]
        raise ConfigError("\n".join([f"{origin}: {len(faults)} setting(s) cannot be used", *faults])) from error


def require(config: Config, *keys: str) -> list[Any]:
    """The values of settings that a command cannot do without.

    Raises:
        ConfigError: One of the dotted ``keys`` is null.
    """
    values: list[Any] = []
    for key in keys:
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        values.append(value)
    missing = [key for key, value in zip(keys, values, strict=True) if value is None]
    if missing:
        raise ConfigError("this command needs " + " and ".join(f"{key}=..." for key in missing))
    return values


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the schema, sections included; ``*`` stands for an index of a list."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        annotation: Any = field.annotation
        index = "*." if get_origin(annotation) is list else ""
        for part in (annotation, *get_args(annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += known_keys(part, f"{prefix}{name}.{index}")
    return keys


def _describe(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = _nearest(key)
        return f"  {key}: no such setting" + (f"; did you mean {near}?" if near else "")
    message = fault["msg"].removeprefix("Value error, ")
    value = fault["input"]
    shown = "" if isinstance(value, dict | list) or fault["type"] == "missing" else f" (it is {value!r})"
    if fault["type"] == "string_type" and isinstance(value, bool | int | float):
        shown += "; YAML takes it for something else: put it in quotes"
    return f"  {key}: {message}{shown}"


def _nearest(key: str) -> str | None:
    """The known key that comes closest: among the neighbours in its section, else by its last word anywhere."""
    parts = ["*" if part.isdigit() else part for part in key.split(".")]
    known = known_keys()
    section = ".".join(parts[:-1])
    siblings = [k for k in known if k.rpartition(".")[0] == section]
    close = difflib.get_close_matches(".".join(parts), siblings, n=1, cutoff=0.75)
    if close:
        return close[0]
    last = parts[-1]
    by_word = {k.rpartition(".")[2]: k for k in reversed(known)}
    found = difflib.get_close_matches(last, list(by_word), n=1, cutoff=0.75)
    if found:
        return by_word[found[0]]
    close = difflib.get_close_matches(".".join(parts), siblings or known, n=1, cutoff=0.5)
    return close[0] if close else None


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings and lists into dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            flat |= flatten({str(index): item for index, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
