"""What every section of the configuration is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the key and, where there is one, the nearest right key."""


class Section(BaseModel):
    """A section of the configuration: unknown keys are refused, every field has a docstring."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True)
