"""Errors that every part of the package raises."""

from __future__ import annotations


class UserError(Exception):
    """What a user can mend: the command line shows its message, without a traceback, and ends with status 2."""


class ConfigError(UserError, ValueError):
    """A setting that cannot be used; the message names the key and, where there is one, the nearest right key."""
