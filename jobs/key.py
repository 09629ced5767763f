"""Make a key for the API: it is shown once, and its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import ValidationError

from favchat.config import ApiKeyConfig, ConfigError
from favchat.io.files import write_text_whole

PREFIX = "fvc-"
BYTES = 32


def run(name: str, *, file: Path | None = None, say: Callable[[str], None] = print) -> str:
    """Make a key.

    Args:
        name: Whose it is.
        file: The YAML file of ``serve.keys_file`` that its hash is added to; made if missing.
        say: Gets the key and what to do with it.

    Returns:
        The key.

    Raises:
        ConfigError: The name cannot be used, the file holds it already or something else than keys.
    """
    from serve.keys import parse_keys

    key = PREFIX + secrets.token_urlsafe(BYTES)
    try:
        # 256 random bits cannot be guessed, so a fast hash suffices.
        known = ApiKeyConfig(name=name, sha256=hashlib.sha256(key.encode()).hexdigest())
    except ValidationError as error:
        raise ConfigError(f"{name}: a key's name has up to 64 letters, digits, dots, - and _") from error
    entry = yaml.safe_dump([{"name": known.name, "sha256": known.sha256}], sort_keys=False)
    if file is None:
        say(f"{key}\nshown once; the server knows it by this entry of serve.keys or the file serve.keys_file:\n{entry}")
        return key
    held = file.read_text(encoding="utf-8") if file.exists() else ""
    if any(other.name == name for other in parse_keys(held, file)):
        raise ConfigError(f"{file}: there is a key of the name {name}; delete its entry first")
    text = f"{held.rstrip()}\n{entry}".lstrip()
    parse_keys(text, file)
    write_text_whole(file, text)
    say(f"{key}\nshown once; its hash is in {file}, which is served with serve.keys_file={file}")
    return key
