"""Questions about one clip as one sequence: what they have in common, each question, each question's options.

A tree attention mask lets every token attend only to the tokens that would precede it if its question were asked alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

_NOBODY = -1


@dataclass
class QuestionTree:
    """Questions about one clip, packed into one sequence that goes on after `begin` tokens."""

    begin: int
    ids: list[int]
    positions: list[int]
    nodes: list[int]
    """Which part of the tree each token belongs to: 0 what is common, then a question or an option each."""
    parents: list[int]
    """The part before each part."""
    targets: list[list[list[tuple[int, int]]]] = field(default_factory=list)
    """For each question and option: the token before, and the id whose probability is wanted there."""

    @classmethod
    def of(cls, common: Sequence[int], begin: int) -> QuestionTree:
        """A tree of what is common alone: the ids of a prompt from place `begin` on."""
        places = list(range(begin, begin + len(common)))
        return cls(begin, list(common), places, [0] * len(common), [_NOBODY])

    def add(self, question: Sequence[int], options: Sequence[Sequence[int]], begin: int) -> None:
        """Add a question's ids from position `begin` on, and all but the last id of each option."""
        node = self.part(question, begin, parent=0)
        last, after = len(self.ids) - 1, begin + len(question)
        targets = []
        for option in options:
            first = len(self.ids)
            self.part(option[:-1], after, parent=node)
            before = [last, *range(first, first + len(option) - 1)]
            targets.append(list(zip(before, option, strict=True)))
        self.targets.append(targets)

    def part(self, ids: Sequence[int], begin: int, parent: int) -> int:
        """Add ids from position `begin` on, behind another part; the number of the new part."""
        number = len(self.parents)
        self.parents.append(parent)
        self.ids += ids
        self.positions += range(begin, begin + len(ids))
        self.nodes += [number] * len(ids)
        return number

    def seen_by(self, part: int) -> list[int]:
        """Places in the cache of all tokens that come before and in a part: also what the tree goes on after."""
        parts = {part}
        while (part := self.parents[part]) != _NOBODY:
            parts.add(part)
        own = [self.begin + place for place, node in enumerate(self.nodes) if node in parts]
        return [*range(self.begin), *own]

    def visible(self) -> Tensor:
        """`(L, begin + L)` bool: a token attends to what is before the tree, its own part's past and all before it."""
        count = len(self.parents)
        before = np.eye(count, dtype=bool)
        for node in range(1, count):  # a parent is added before its children
            before[node] |= before[self.parents[node]]
        nodes, positions = np.asarray(self.nodes), np.asarray(self.positions)
        inner = before[nodes][:, nodes] & (positions[:, None] >= positions[None, :])
        return torch.from_numpy(np.concatenate([np.ones((len(inner), self.begin), dtype=bool), inner], axis=1))


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix of all rows, shorter than any row, so that each keeps a token to predict from."""
    shortest = min(map(len, rows))
    same = next((place for place in range(shortest) if len({row[place] for row in rows}) > 1), shortest)
    return min(same, shortest - 1)
