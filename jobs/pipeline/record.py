"""What a pipeline remembers of its steps, in ``pipeline.json``: how each was last run, and what it left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from favchat.config import ConfigError
from favchat.io.files import write_text_whole
from favchat.io.settings_record import changes

RECORD = "pipeline.json"


@dataclass(frozen=True)
class StepRecord:
    """The last run of a step."""

    settings: Mapping[str, Any]
    """Dotted key -> value of what its output depends on."""
    inputs: Mapping[str, str | None]
    """What it reads -> a digest of it."""
    done: bool = False
    """Whether it came to its end."""
    output: str | None = None
    """A digest of what it left."""
    ended: str | None = None
    """When it came to its end."""
    summary: str = ""
    """What it said at its end."""

    def changes(self, settings: Mapping[str, Any], inputs: Mapping[str, str | None]) -> list[str]:
        """What differs now, in words."""
        found = changes(self.settings, settings, {})
        found += [
            f"{name} changed"
            for name in sorted(self.inputs.keys() | inputs.keys())
            if self.inputs.get(name) != inputs.get(name)
        ]
        return found


class Record:
    """All of them, in a file that is whole at any time.

    Args:
        folder: ``pipeline.out``.

    Raises:
        ConfigError: The file is none of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / RECORD
        self.steps: dict[str, StepRecord] = {}
        if self.file.is_file():
            try:
                held = json.loads(self.file.read_text(encoding="utf-8"))
                self.steps = {name: StepRecord(**step) for name, step in held["steps"].items()}
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                remedy = "delete it, or choose another pipeline.out"
                raise ConfigError(f"{self.file}: no record of a pipeline ({error}); {remedy}") from error

    def keep(self, name: str, step: StepRecord) -> None:
        """Remember a step.

        Raises:
            OSError: The folder cannot be written.
        """
        self.steps[name] = step
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # As JSON knows them, so that a comparison finds the same values as after reading.
        text = json.dumps({"steps": {key: asdict(one) for key, one in self.steps.items()}}, indent=1)
        self.steps = {key: StepRecord(**one) for key, one in json.loads(text)["steps"].items()}
        write_text_whole(self.file, text + "\n")
