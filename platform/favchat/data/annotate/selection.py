"""The high-quality subset: no contradiction, no near copy, the best first, families and answers in balance."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from favchat.data.annotate.rows import Annotation


class Candidate(NamedTuple):
    """A row and what the selection needs to know of it."""

    row: Annotation
    quality: float
    consistent: bool
    """Whether it speaks of an attribute and contradicts no label."""
    group: int
    """Its group of near copies."""


def repeats(candidates: Sequence[Candidate], copies: int) -> list[bool]:
    """Which rows repeat another one of their clip, or one of `copies` better ones of their split.

    Of near copies those of the highest quality stay; rows that contradict a label never stand in the way of another.
    """
    taken: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    by_clip: set[tuple[str, str, int]] = set()
    repeated = [False] * len(candidates)
    for index in sorted(range(len(candidates)), key=lambda index: _rank(candidates[index])):
        row, _, consistent, group = candidates[index]
        if not consistent:
            continue
        of_clip, of_split = (row.clip_id, row.task, group), (row.split, row.task, group)
        repeated[index] = of_clip in by_clip or taken[of_split] >= copies
        if not repeated[index]:
            by_clip.add(of_clip)
            taken[of_split] += 1
    return repeated


def select(candidates: Sequence[Candidate], repeated: Sequence[bool], share: float) -> list[bool]:
    """Choose the rows of the subset, in each split by itself.

    All summaries are chosen that contradict nothing and repeat nothing. Of such questions the budget is filled in
    rounds: in each, every family gives its next unit, until the budget or the rows are used up. A unit is the best row
    answered yes and the best answered no, or one row of another answer type; a family gives its kinds in turn. Within a
    kind the first row of each clip comes before any second one, then the higher quality, then a hash.

    Args:
        candidates: All rows.
        repeated: Which of them `repeats` found.
        share: The budget: share of the questions of a split that are chosen at most, above 0 and up to 1.
    """
    chosen = [row.task == "summary" and consistent for row, _, consistent, _ in candidates]
    questions: defaultdict[str, list[int]] = defaultdict(list)
    for index, candidate in enumerate(candidates):
        chosen[index] = chosen[index] and not repeated[index]
        if candidate.row.task == "qa":
            questions[candidate.row.split].append(index)
    for indices in questions.values():
        good = [index for index in indices if candidates[index].consistent and not repeated[index]]
        for index in _filled(candidates, good, int(share * len(indices))):
            chosen[index] = True
    return chosen


def _filled(candidates: Sequence[Candidate], good: Iterable[int], budget: int) -> list[int]:
    families: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in good:
        row = candidates[index].row
        kind = row.answer_type if row.truth is None else "yes" if row.truth else "no"
        families[row.family][kind].append(index)
    queues = [_units(candidates, kinds) for _, kinds in sorted(families.items())]
    filled: list[int] = []
    for units in zip_longest(*queues, fillvalue=()):
        for unit in units:
            if len(filled) + len(unit) <= budget:
                filled += unit
    return filled


def _units(candidates: Sequence[Candidate], kinds: dict[str, list[int]]) -> list[tuple[int, ...]]:
    """What a family gives, in order: pairs of yes and no, and single rows of each other answer type, in turn."""
    ordered = {kind: _best_first(candidates, indices) for kind, indices in kinds.items()}
    pairs: list[tuple[int, ...]] = list(zip(ordered.pop("yes", []), ordered.pop("no", []), strict=False))
    singles = [[(index,) for index in indices] for _, indices in sorted(ordered.items())]
    return [unit for turn in zip_longest(pairs, *singles) for unit in turn if unit is not None]


def _best_first(candidates: Sequence[Candidate], indices: Iterable[int]) -> list[int]:
    ordered: list[tuple[int, int, int]] = []
    seen: defaultdict[str, int] = defaultdict(int)
    for index in sorted(indices, key=lambda index: _rank(candidates[index])):
        clip = candidates[index].row.clip_id
        ordered.append((seen[clip], len(ordered), index))
        seen[clip] += 1
    return [index for *_, index in sorted(ordered)]


def _rank(candidate: Candidate) -> tuple[float, bytes]:
    row = candidate.row
    tie = hashlib.blake2b(f"{row.clip_id}/{row.question}/{row.answer}".encode(), digest_size=8).digest()
    return -round(candidate.quality, 6), tie
