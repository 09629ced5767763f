"""API keys: who asks, and how much of what they may have is left."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from favchat.config import ApiKeyConfig, ConfigError, ServeConfig

logger = logging.getLogger("ray.serve")
LOOK = 2.0
"""Seconds between two looks at the file."""
MINUTE = 60.0


class KeyRing:
    """The keys of the settings and of a file, which is read again when it changes.

    Args:
        keys: Those of the settings.
        file: The file with more.

    Raises:
        ConfigError: The file cannot be read, or two keys are the same.
    """

    def __init__(self, keys: Sequence[ApiKeyConfig], file: str | None = None) -> None:
        self._fixed, self._file = list(keys), Path(file) if file else None
        self._state = _state(self._file)
        self._keys = self._read()
        self._looked = time.monotonic()

    @classmethod
    def of(cls, config: ServeConfig) -> KeyRing:
        """The keys of the ``serve`` section; none where ``auth=off``."""
        return cls([]) if config.auth == "off" else cls(config.keys, config.keys_file)

    def __len__(self) -> int:
        self._look()
        return len(self._keys)

    def find(self, key: str) -> ApiKeyConfig | None:
        """What a key may do; None where there is no such key. How long it takes does not tell how near it came."""
        self._look()
        digest, found = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest(), None
        for known in self._keys:
            if hmac.compare_digest(known.sha256, digest):
                found = known
        return found

    def _look(self) -> None:
        if self._file is None or time.monotonic() - self._looked < LOOK:
            return
        self._looked, state = time.monotonic(), _state(self._file)
        if state != self._state:
            self._state = state
            try:
                self._keys = self._read()
            except ConfigError as error:
                logger.warning("the keys stay as they were: %s", error)

    def _read(self) -> list[ApiKeyConfig]:
        keys = [*self._fixed, *(read_keys(self._file) if self._file else [])]
        for what in ("name", "sha256"):
            values = [getattr(key, what) for key in keys]
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ConfigError(f"serve.keys, serve.keys_file: two keys have the {what} {twice}")
        return keys


def read_keys(file: Path) -> list[ApiKeyConfig]:
    """The keys in a YAML file.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"serve.keys_file = {file}: cannot be read: {error}") from error
    return parse_keys(text, file)


def parse_keys(text: str, file: Path) -> list[ApiKeyConfig]:
    """The keys in a file's text.

    Raises:
        ConfigError: It is no YAML, or holds something else.
    """
    try:
        return TypeAdapter(list[ApiKeyConfig]).validate_python(yaml.safe_load(text) or [])
    except yaml.YAMLError as error:
        raise ConfigError(f"serve.keys_file = {file}: no YAML: {error}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ConfigError(
            f"serve.keys_file = {file}: {place or 'the file'}: {fault['msg']}; it holds a list of keys, each with name "
            "and sha256, as favchat key writes it"
        ) from error


def _state(file: Path | None) -> tuple[int, int] | None:
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


class Allowance:
    """So much a minute, of which a minute's worth may be had at once.

    Args:
        per_minute: How much.
        clock: Tells seconds.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._left, self._seen = max(per_minute, 1.0), clock()

    def left(self) -> float:
        """What is left now; below zero where more was taken."""
        now = self._clock()
        rise = (now - self._seen) * self.per_minute / MINUTE
        self._left, self._seen = min(self._left + rise, max(self.per_minute, 1.0)), now
        return self._left

    def take(self, amount: float) -> None:
        """Take some, also more than is left: what an answer costs is known when it is written."""
        self._left = self.left() - amount

    def wait(self, amount: float = 1.0) -> float:
        """Seconds until so much is left."""
        return max(amount - self.left(), 0.0) * MINUTE / self.per_minute


@dataclass
class Rates:
    """The allowances of one key.

    Attributes:
        requests: Requests a minute; None: any number.
        tokens: Tokens a minute; None: any number.
    """

    requests: Allowance | None
    tokens: Allowance | None

    @classmethod
    def of(cls, key: ApiKeyConfig) -> Rates:
        """Those that a key has at first."""
        requests, tokens = key.requests_per_minute, key.tokens_per_minute
        return cls(Allowance(requests) if requests else None, Allowance(tokens) if tokens else None)

    def wait(self) -> tuple[float, str]:
        """Seconds until the next request may come, and for want of what."""
        waits = [(kind.wait(), name) for name, kind in self._kinds()]
        return max(waits, default=(0.0, ""))

    def headers(self) -> dict[str, str]:
        """What is left, in OpenAI's headers."""
        told = {}
        for name, kind in self._kinds():
            told[f"x-ratelimit-limit-{name}"] = f"{kind.per_minute:g}"
            told[f"x-ratelimit-remaining-{name}"] = str(max(math.floor(kind.left()), 0))
            told[f"x-ratelimit-reset-{name}"] = f"{kind.wait(max(kind.per_minute, 1.0)):.3f}s"
        return told

    def _kinds(self) -> list[tuple[str, Allowance]]:
        kinds = (("requests", self.requests), ("tokens", self.tokens))
        return [(name, kind) for name, kind in kinds if kind is not None]
