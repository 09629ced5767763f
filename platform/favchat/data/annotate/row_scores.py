"""Quality of a row as training data: five scores in 0..1 and their weighted mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from favchat.data.annotate.label_check import Check
from favchat.data.annotate.rows import Annotation
from favchat.labels.attribute_parser import parse_statements

FACE_COLUMNS = ("face_share", "face_size", "sharpness", "yaw", "pitch")
"""The columns of shards that `face_quality` needs."""

_LARGE_FACE = 112.0  # pixels; size of ArcFace's alignment template
_WORDS = {"summary": (10, 80), "qa": (4, 40)}


def consistency(check: Check) -> float:
    """1 if the labels confirm all statements, 0 if they contradict any, in between if some are unlabelled.

    An unlabelled statement counts 0.5; a row without statements gets 0.5.
    """
    if check.contradicted:
        return 0.0
    known = len(check.confirmed) + len(check.neutral)
    return (len(check.confirmed) + 0.5 * len(check.neutral)) / known if known else 0.5


def specificity(answer: str) -> float:
    """``1 - 2 ** -n`` for the n attributes that an answer names: 0, 0.5, 0.75, 0.875, ..."""
    named = {statement.name for statement in parse_statements(answer) if not statement.presupposed}
    return 1 - 2.0 ** -len(named)


def length(answer: str, task: str) -> float:
    """1 for 4 to 40 words (summaries: 10 to 80); falls linearly to 0 at no word and at twice the upper bound."""
    low, high = _WORDS[task]
    words = len(answer.split())
    return min(1.0, words / low, max(0.0, 2 - words / high))


def rarity(rows: Sequence[Annotation]) -> list[float]:
    """Rarity of a row's attributes in the corpus.

    The mean over its attributes of ``log(1 / p) / log(N)``, where p is the fraction of the N rows with the
    attribute; 0 for rows without attributes.
    """
    frequency = Counter(name for row in rows for name in set(row.attributes))
    scale = math.log(len(rows)) if len(rows) > 1 else 1.0
    surprise = {name: math.log(len(rows) / count) / scale for name, count in frequency.items()}
    return [sum(surprise[name] for name in row.attributes) / max(1, len(row.attributes)) for row in rows]


def face_quality(shards: pa.Table) -> dict[str, float]:
    """Visibility of the face of each clip.

    The mean of four terms: the fraction of frames with the face; its size relative to 112 pixels, at most 1; the
    product of the cosines of yaw and pitch; and ``s / (s + m)`` for the sharpness s and its median m over the clips.

    Args:
        shards: ``clip_id`` and the columns of ``FACE_COLUMNS``.

    Returns:
        Clip -> 0..1.
    """
    share, size, sharp, yaw, pitch = (shards[name].to_numpy().astype(np.float64) for name in FACE_COLUMNS)
    frontal = np.clip(np.cos(np.radians(yaw)), 0, 1) * np.clip(np.cos(np.radians(pitch)), 0, 1)
    middle = max(float(np.median(sharp)), 1e-9) if len(sharp) else 1.0
    parts = [share, np.minimum(size / _LARGE_FACE, 1), frontal, sharp / (sharp + middle)]
    values = np.mean(np.nan_to_num(np.stack(parts)), axis=0) if len(sharp) else np.zeros(0)
    return dict(zip(shards["clip_id"].to_pylist(), values.tolist(), strict=True))


def weighted(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The mean of the scores by their weights, not all of which are 0."""
    return sum(scores[name] * weight for name, weight in weights.items()) / sum(weights.values())
