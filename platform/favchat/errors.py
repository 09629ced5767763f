"""Errors that every part of the package raises."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the key and, where there is one, the nearest right key."""
