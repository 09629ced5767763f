"""Selects the high-quality subset: no contradictions or near-duplicates, best first, families and answers balanced."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from favchat.data.annotate.rows import Annotation


class Candidate(NamedTuple):
    """A row's values that the selection depends on."""

    row: Annotation
    quality: float
    consistent: bool
    """Whether it speaks of an attribute and contradicts no label."""
    group: int
    """Its group of near copies."""


def repeats(candidates: Sequence[Candidate], copies: int) -> list[bool]:
    """Mark near-duplicate rows: beyond the first of a clip, or beyond the best `copies` of a split.

    Of near-duplicates those of the highest quality are kept; rows that contradict a label never displace others.
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
    """Select the rows of the subset, separately for each split.

    All summaries without contradictions that are no near-duplicates are selected. The budget for questions is filled
    round-robin over the families, until it is reached or no rows remain. Each family yields groups, alternating between
    its answer types: a pair of a yes and a no row, or one row of another type. Within an answer type rows are ordered
    by their rank in their clip (first rows of all clips first), then by quality, then by a hash.

    Args:
        candidates: All rows.
        repeated: Output of `repeats` for them.
        share: The budget: maximum fraction of a split's questions that are selected, above 0 and up to 1.
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
    queues = [_row_groups(candidates, kinds) for _, kinds in sorted(families.items())]
    filled: list[int] = []
    for groups in zip_longest(*queues, fillvalue=()):
        for group in groups:
            if len(filled) + len(group) <= budget:
                filled += group
    return filled


def _row_groups(candidates: Sequence[Candidate], kinds: dict[str, list[int]]) -> list[tuple[int, ...]]:
    """A family's groups in order: pairs of yes and no, and single rows of the other answer types, alternating."""
    ordered = {kind: _best_first(candidates, indices) for kind, indices in kinds.items()}
    pairs: list[tuple[int, ...]] = list(zip(ordered.pop("yes", []), ordered.pop("no", []), strict=False))
    singles = [[(index,) for index in indices] for _, indices in sorted(ordered.items())]
    return [group for turn in zip_longest(pairs, *singles) for group in turn if group is not None]


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
