"""What goes along with a submitted command, and what may not be named by it because it lies on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from favchat.config import Config, ConfigError, Place, load
from favchat.io.paths import is_remote

CONFIGS = Path(__file__).parent / "configs"
CONFIGURED = ("prepare", "annotate", "train", "evaluate", "tune", "pipeline", "serve", "model", "quickstart")
"""Commands whose first word is a configuration."""
NAMES = ("model", "init", "pretrained", "models")
"""Settings that may hold a model's name, which looks like a relative path."""


_PLACE = get_args(Place)[1:]
"""By what pydantic tells a setting that is a place."""


def files_of(command: Sequence[str]) -> dict[str, Path]:
    """The YAML files that a command names: the name under which each travels -> the file.

    Raises:
        ConfigError: Two different files share a name.
    """
    found: dict[str, Path] = {}
    for word in command:
        path = Path(word)
        if path.suffix in (".yaml", ".yml") and path.is_file():
            other = found.setdefault(path.name, path)
            if other.read_bytes() != path.read_bytes():
                raise ConfigError(f"{word}: another file of the command is called {path.name} too; rename one of them")
    return found


def rewritten(command: Sequence[str], files: dict[str, Path]) -> list[str]:
    """The command as it runs on the cluster."""
    words = [Path(word).name if files.get(Path(word).name) == Path(word) else word for word in command]
    # A wheel that Ray puts on the path brings no console script.
    return ["python", "-m", "jobs.cli", *words[1:]] if words[0] == "favchat" else words


def pack(command: Sequence[str], folder: Path) -> list[str]:
    """Copy the YAML files that a command names into a folder, and rewrite it to run there.

    Raises:
        ConfigError: Two different files share a name.
    """
    files = files_of(command)
    for name, path in files.items():
        shutil.copyfile(path, folder / name)
    return rewritten(command, files)


def refuse_relative(command: Sequence[str]) -> None:
    """Refuse a favchat command whose data would lie in the job's temporary folder, or on this machine alone.

    Raises:
        ConfigError: A setting, in the command or in its configuration, or a word is a relative path.
    """
    if len(command) < 2 or command[0] != "favchat":
        return
    name, *words = command[1:]
    files = files_of(command)
    if name not in CONFIGURED:
        here = [
            word for word in words if not word.startswith("-") and _lies_here(word) and Path(word).name not in files
        ]
        faults = [f"  {word}" for word in here]
    else:
        faults = [f"  {key} = {value}" for key, value in _places(words) if _is_relative(key, value)]
        if name == "quickstart" and not any(word.startswith("pipeline.out=") for word in words):
            faults.append("  pipeline.out, by default outputs/quickstart")
    if faults:
        told = (
            "relative paths cannot be submitted: they would lie in the job's own folder, which goes when it ends. Give "
            "absolute ones that the cluster's machines see, or addresses such as s3://"
        )
        raise ConfigError("\n".join([told, *faults]))


def _places(words: Sequence[str]) -> list[tuple[str, str]]:
    """Every path or name in the configuration of a command, by its key."""
    plain = [word for word in words if not word.startswith("-")]
    if not plain:
        return []
    try:
        config = load(plain[0], [word for word in plain[1:] if "=" in word], presets=CONFIGS)
    except ConfigError:
        # The job says what is wrong: there may be sources and tasks there that are not installed here.
        return []
    return list(_of_section(config, Config()))


def _of_section(section: BaseModel, plain: BaseModel | None, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}{name}"
        if value == getattr(plain, name, None):  # a default is not the user's word
            continue
        if isinstance(value, BaseModel):
            yield from _of_section(value, getattr(plain, name, None), f"{key}.")
        elif isinstance(value, list):
            for index, part in enumerate(value):
                if isinstance(part, BaseModel):
                    yield from _of_section(part, None, f"{key}.{index}.")
                elif isinstance(part, str) and _holds_place(field.annotation):
                    yield f"{key}.{index}", part
        elif isinstance(value, dict) and _holds_place(field.annotation):
            yield from ((f"{key}.{index}", part) for index, part in value.items() if isinstance(part, str))
        elif isinstance(value, str) and (_holds_place(field.annotation) or tuple(field.metadata) == _PLACE):
            yield key, value


def _holds_place(annotation: Any) -> bool:
    if getattr(annotation, "__metadata__", None) == _PLACE:
        return True
    return any(_holds_place(part) for part in getattr(annotation, "__args__", ()))


def _is_relative(key: str, value: str) -> bool:
    if value.startswith("sqlite:///"):
        return not value.startswith("sqlite:////")
    if is_remote(value) or os.path.isabs(value.removeprefix("file://")):
        return False
    if any(part in NAMES for part in key.split(".")):
        # A hub name, models:/NAME@ALIAS and asset:NAME are none; what lies here, or begins like a path, is.
        known = ":" in value.partition("/")[0] or value.count("/") == 1 or "/" not in value
        return value.startswith(".") or os.path.exists(value) or not known
    return True


def _lies_here(word: str) -> bool:
    return not os.path.isabs(word) and not is_remote(word) and os.path.exists(word)
