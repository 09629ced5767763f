"""What is known of how likely each attribute is in a clip, and how far that can be trusted; needs no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CALIBRATION = "calibration.json"
"""In a model's directory: what :class:`Calibration` holds."""


@dataclass(frozen=True)
class Measured:
    """How well an attribute is told on held-out clips."""

    balanced_accuracy: float
    present: int
    """Clips that have it."""
    absent: int
    """Clips that do not."""
    yes_from: float | None
    """Score from which on nine of ten are right that it is there; None: there is no such score."""
    no_below: float | None
    """Score up to which nine of ten are right that it is not there."""


@dataclass(frozen=True)
class Calibration:
    """What was learnt and measured on held-out clips."""

    temperatures: dict[str, float] = field(default_factory=dict)
    """By family; logits are divided by it. Families that are missing have 1."""
    error: dict[str, float] = field(default_factory=dict)
    """Expected calibration error of the probabilities by family, on people that no temperature was learnt on."""
    measured: dict[str, Measured] = field(default_factory=dict)
    """By attribute."""

    def write(self, folder: Path) -> None:
        """Leave it in a model's directory."""
        (folder / CALIBRATION).write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> Calibration:
        """A model's, or an empty one."""
        file = Path(folder) / CALIBRATION
        if not file.is_file():
            return cls()
        values: dict[str, Any] = json.loads(file.read_text())
        measured = {name: Measured(**values) for name, values in values.pop("measured").items()}
        return cls(**values, measured=measured)


@dataclass(frozen=True)
class AttributeScore:
    """One attribute of one clip."""

    name: str
    family: str
    score: float
    """0..1, 0.5 where it is as likely as not if it were present in half of all clips; an emotion's is its share."""
    probability: float
    """0..1, with the frequency of the training clips."""
    measured: Measured | None
    """How well it is told on held-out clips, where that was measured."""
