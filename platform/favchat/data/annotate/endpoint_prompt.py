"""Builds the request for one clip: prompt templates from files, filled with its labels, and its frames."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from favchat.config import ConfigError
from favchat.data.annotate.grammar import UNKNOWN, VIDEO
from favchat.data.annotate.known_labels import KnownLabels
from favchat.data.annotate.rows import CHANGE, SEVERAL
from favchat.labels.attributes import FAMILIES, Attribute, attribute
from favchat.video.images import as_jpeg

ROW_FAMILIES = (*FAMILIES, CHANGE, SEVERAL)
"""What a row's ``family`` may be."""

_PACKAGED = Path(__file__).parent / "prompts"
_PLACEHOLDERS = frozenset({"families", "frames", "times", "true", "false", "emotion", "summaries", "questions"})


@dataclass(frozen=True)
class Prompts:
    """The two messages, with ``$placeholders``."""

    system: str
    user: str
    summaries: int
    """Summaries to ask for."""
    questions: int
    """Questions to ask for."""

    def messages(self, labels: KnownLabels, frames: list[bytes], times: list[float]) -> list[dict[str, Any]]:
        """The messages of a request about one clip.

        Args:
            labels: Its known labels.
            frames: Encoded images; they are sent as JPEG files.
            times: Time of each, seconds from the start of the clip.
        """
        words = {
            "families": ", ".join(ROW_FAMILIES),
            "frames": str(len(frames)),
            "times": ", ".join(f"{time:.1f} s" for time in times),
            "true": _listed(labels.true, "nothing"),
            "false": _listed(labels.false, "nothing"),
            "emotion": _emotion(labels),
            "summaries": str(self.summaries),
            "questions": str(self.questions),
        }
        pictures = [
            {
                "type": "image_url",
                "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(as_jpeg(frame)).decode()}"},
            }
            for frame in frames
        ]
        return [
            {"role": "system", "content": _filled(self.system, words)},
            {"role": "user", "content": [{"type": "text", "text": _filled(self.user, words)}, *pictures]},
        ]


def read_prompts(folder: str | None, summaries: int, questions: int) -> Prompts:
    """Read ``system.txt`` and ``user.txt``.

    Args:
        folder: Their folder; None: the package's own.
        summaries: Number of summaries to request.
        questions: Number of questions to request.

    Raises:
        ConfigError: One is missing or empty, or has an unknown placeholder.
    """
    place = Path(folder) if folder else _PACKAGED
    return Prompts(_read(place / "system.txt"), _read(place / "user.txt"), summaries, questions)


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of `count` positions, evenly spaced from the first to the last."""
    if wanted >= count:
        return list(range(count))
    if wanted == 1:
        return [count // 2]
    return [int(place) for place in np.linspace(0, count - 1, wanted).round()]


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"annotate.endpoint.prompts: {file} cannot be read: {error}") from error
    if not text:
        raise ConfigError(f"annotate.endpoint.prompts: {file} is empty")
    template = Template(text)
    unknown = sorted(set(template.get_identifiers()) - _PLACEHOLDERS) if template.is_valid() else ["$"]
    if unknown:
        known = ", ".join(f"${name}" for name in sorted(_PLACEHOLDERS))
        raise ConfigError(
            f"annotate.endpoint.prompts: {file} has the placeholder {unknown[0]}, and there are only {known}; "
            "write $$ for a dollar sign"
        )
    return text


def _filled(text: str, words: Mapping[str, str]) -> str:
    return Template(text).substitute(words)


def _listed(statements: list[Attribute], otherwise: str) -> str:
    said = [
        f"the {VIDEO.noun} {VIDEO.predicate(a)}" if a.subject == "video" else UNKNOWN.predicate(a) for a in statements
    ]
    return "; ".join(said) or otherwise


def _emotion(labels: KnownLabels) -> str:
    if labels.segments:
        return "; ".join(
            f"{attribute(segment.emotion).phrase} from {segment.start:.1f} s to {segment.end:.1f} s"
            for segment in labels.segments
        )
    return f"{labels.emotion.phrase} throughout" if labels.emotion else "not labelled"
