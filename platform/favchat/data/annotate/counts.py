"""What is counted of annotations, in parts that add up, so that a report needs no row of a large corpus."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from favchat.data.corpus.schema import SCORES

SAMPLES = 10
"""Clips whose rows a report shows."""
BINS = 1000
"""Bins of the histogram of a score, which lies in 0..1."""


@dataclass
class AnnotationCounts:
    """Counts of the rows of some clips."""

    clips: int = 0
    """Clips that were to be annotated."""
    annotated: int = 0
    """Of these, the ones with a row."""
    tasks: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    """(task, split, selected) -> rows."""
    families: Counter[tuple[str, bool | None, bool]] = field(default_factory=Counter)
    """(family, truth, selected) -> questions."""
    types: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """(answer type, selected) -> rows."""
    levels: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """(level, selected) -> rows."""
    negatives: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """(hard negative, selected) -> questions answered with no."""
    contradicted: int = 0
    """Rows that contradict a label."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Attribute -> rows that contradict its label."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """What becomes of rows -> rows."""
    duplicates: int = 0
    """Rows that nearly repeat better ones."""
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    """Score -> (2, BINS) histogram of all and of the selected rows."""
    rejects: Counter[str] = field(default_factory=Counter)
    """Stage -> clips that the writer failed on."""
    samples: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """(rank, clip) -> its rows, for the few clips of the lowest rank, which is drawn by a hash."""

    @property
    def rows(self) -> int:
        """All rows."""
        return self.tasks.total()

    @property
    def selected(self) -> int:
        """Rows of the selection."""
        return sum(count for (*_, selected), count in self.tasks.items() if selected)

    def of_task(self, task: str) -> int:
        """Rows of one task."""
        return sum(count for (name, *_), count in self.tasks.items() if name == task)

    def add(self, other: AnnotationCounts) -> None:
        """Add the counts of other clips."""
        for name in ("clips", "annotated", "contradicted", "duplicates"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("tasks", "families", "types", "levels", "negatives", "wrong", "outcomes", "rejects"):
            getattr(self, name).update(getattr(other, name))
        for name, bins in other.scores.items():
            self.scores[name] = self.scores[name] + bins if name in self.scores else bins
        samples = self.samples | other.samples
        self.samples = {key: samples[key] for key in sorted(samples)[:SAMPLES]}

    def quantile(self, score: str, share: float, *, selected: bool = False) -> float | None:
        """The value of a score below which a share of all, or of the selected, rows lies; None: there is no row."""
        bins = self.scores[score][int(selected)] if score in self.scores else np.zeros(1, int)
        if not bins.sum():
            return None
        return float((np.searchsorted(np.cumsum(bins), max(1, share * bins.sum())) + 0.5) / BINS)


def count_rows(clips: int, rows: pa.Table, rejects: pa.Table | None, seed: int) -> AnnotationCounts:
    """Count the rows of some clips.

    Args:
        clips: How many clips.
        rows: Their annotations, with the columns of ``schema.ANNOTATION_SCHEMA``.
        rejects: The clips that the writer failed on, with the columns of ``schema.ANNOTATION_REJECT_SCHEMA``.
        seed: Draws the samples.
    """
    ids = rows["clip_id"].unique().to_pylist()
    found = AnnotationCounts(clips, len(ids))
    names = ("task", "split", "family", "answer_type", "level", "truth", "hard_negative", "contradictions", "duplicate")
    for row in zip(*(rows[name].to_pylist() for name in (*names, "selected")), strict=True):
        task, split, family, kind, level, truth, hard, wrong, duplicate, selected = row
        found.tasks[task, split, selected] += 1
        found.types[kind, selected] += 1
        found.levels[level, selected] += 1
        if task == "qa":
            found.families[family, truth, selected] += 1
        if truth is False:
            found.negatives[hard, selected] += 1
        found.contradicted += bool(wrong)
        found.wrong.update(wrong)
        found.duplicates += duplicate
        found.outcomes[what_became(selected, ["a label"] if wrong else [], duplicate)] += 1
    chosen = np.asarray(rows["selected"].to_pylist(), dtype=bool)
    for name in SCORES:
        values = np.clip(rows[name].to_numpy(), 0, 1)
        bins = [np.histogram(some, BINS, (0, 1))[0] for some in (values, values[chosen])]
        found.scores[name] = np.stack(bins)
    found.rejects.update(rejects["stage"].to_pylist() if rejects is not None else [])
    ranks = {hashlib.sha256(f"{seed}/{clip}".encode()).hexdigest(): clip for clip in ids}
    for rank in sorted(ranks)[:SAMPLES]:
        found.samples[rank, ranks[rank]] = rows.filter(pc.equal(rows["clip_id"], ranks[rank])).to_pylist()
    return found


def what_became(selected: bool, contradictions: list[str], duplicate: bool) -> str:
    """Whether a row is selected, else what keeps it out."""
    if selected:
        return "selected"
    if contradictions:
        return f"contradicts {', '.join(contradictions)}"
    return "near copy" if duplicate else "budget or balance"
