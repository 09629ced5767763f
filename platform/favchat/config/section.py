"""The base class of all sections of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from favchat.io.files import expanded


class Section(BaseModel):
    """A section of the configuration: unknown keys are refused, every field has a docstring."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False)


def _place(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; give a path or an address, or null")
    return expanded(text)


Place = Annotated[str, AfterValidator(_place)]
"""A path, an address, or a name that may be a path; ``~`` in front is the home folder."""
