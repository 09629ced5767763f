"""The order of a stage's samples, which depends on the seed and the step number only.

The samples of one step, over all workers, are a global batch. Each worker takes its share of every global batch, so
that the loss does not depend on the number of workers, and a run that resumes at step k skips earlier steps unread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WINDOW = 1024
"""Clips of a shuffle window, about: samples are shuffled among the clips of several row groups, which are read
together."""


@dataclass(frozen=True)
class Samples:
    """Input of the schedule: n samples of c clips in g row groups, numbered in storage order."""

    clip: np.ndarray
    """The clip of each sample, `(n,)` integers."""
    group: np.ndarray
    """The row group of each clip, `(c,)` integers."""
    parts: tuple[int, ...]
    """How many samples each part of the mixture has, the stage's own first; they follow each other."""
    tokens: np.ndarray | None = None
    """Tokens of each sample without what it shares with others about the same clip, `(n,)` integers; only for a budget
    of tokens."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the samples."""

    order: np.ndarray
    """Samples in the order in which they come, `(m,)`."""
    costs: np.ndarray
    """What each of them counts for in a step, `(m,)` integers."""
    steps: np.ndarray
    """Where each step begins in `order`, and its end, `(steps + 1,)`."""
    windows: np.ndarray
    """The number of the window of each sample in `order`, rising, `(m,)`."""


class BatchSchedule:
    """The endless sequence of a stage's global batches.

    Args:
        samples: The samples.
        seed: Together with the epoch number, seeds the shuffle.
        batch_size: Samples per step.
        token_budget: Tokens per step, instead of `batch_size`.
        prefix: Prefix tokens, counted once for adjacent samples of one clip.
        shares: Fraction of the epoch's samples for each further part of the mixture.
        group_by_clip: Whether the samples of a clip are adjacent.
        window: See :data:`WINDOW`.

    Raises:
        ValueError: There are fewer samples than `batch_size`, or a part of the mixture has none.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        seed: int,
        batch_size: int,
        token_budget: int | None = None,
        prefix: int = 0,
        shares: Sequence[float] = (),
        group_by_clip: bool = True,
        window: int = WINDOW,
    ):
        if not all(samples.parts):
            raise ValueError("a part of the mixture has no samples")
        if token_budget is not None and samples.tokens is None:
            raise ValueError("a budget of tokens needs the tokens of each sample")
        own = samples.parts[0]
        total = own / (1 - sum(shares))
        self._counts = (own, *(max(1, round(share * total)) for share in shares))
        self._samples, self._seed, self._prefix = samples, seed, prefix
        self._budget, self._group_by_clip, self._window = token_budget, group_by_clip, window
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)
        if token_budget is None:
            if sum(self._counts) < batch_size:
                raise ValueError(f"{sum(self._counts)} samples are fewer than batch_size = {batch_size}")
            self.steps_per_epoch = sum(self._counts) // batch_size
        else:
            order, _ = self._order(0)
            self.steps_per_epoch = min(len(order), -(-int(self._costs(order).sum()) // token_budget))

    @property
    def samples_per_epoch(self) -> int:
        """Number of samples per epoch, over all parts of the mixture."""
        return sum(self._counts)

    @property
    def largest(self) -> int:
        """Largest cost of a single sample, in the unit of the batch size (samples or tokens)."""
        tokens = self._samples.tokens
        return 1 if self._budget is None or tokens is None else int(tokens.max()) + self._prefix

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_epoch"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)

    def batch(self, step: int) -> np.ndarray:
        """Sample indices `(samples,)` of a global batch; steps are counted from 0 over all epochs."""
        return self.part(step, 0, 1)

    def part(self, step: int, rank: int, workers: int) -> np.ndarray:
        """Sample indices of one worker's contiguous share of a global batch.

        Raises:
            ValueError: The batch has fewer samples than there are workers.
        """
        epoch = self._epoch(step // self.steps_per_epoch)
        begin, end = epoch.steps[step % self.steps_per_epoch :][:2]
        edges = cuts(epoch.costs[begin:end], workers)
        return epoch.order[begin + edges[rank] : begin + edges[rank + 1]]

    def window_end(self, step: int) -> int:
        """First step after `step` that starts in another shuffle window or epoch."""
        epoch = self._epoch(step // self.steps_per_epoch)
        within = step % self.steps_per_epoch
        windows = epoch.windows[epoch.steps[:-1]]
        later = np.flatnonzero(windows[within:] != windows[within])
        return step + int(later[0] if len(later) else self.steps_per_epoch - within)

    def _make_epoch(self, number: int) -> Epoch:
        order, windows = self._order(number)
        costs = self._costs(order)
        return Epoch(order, costs, cuts(costs, self.steps_per_epoch), windows)

    def _order(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        samples = self._samples
        chosen = self._chosen(number)
        clips = samples.clip[chosen]
        random = np.random.default_rng([self._seed, number])
        # Shuffle row groups, then gather them into windows of about `window` clips.
        groups = random.permutation(int(samples.group.max()) + 1)
        present = np.unique(clips)
        sizes = np.bincount(samples.group[present], minlength=len(groups))[groups]
        window_of_group = np.empty(len(groups), dtype=np.int64)
        window_of_group[groups] = (np.cumsum(sizes) - sizes) // self._window
        windows = window_of_group[samples.group[clips]]
        keys = random.random(len(chosen))  # the last key is lexsort's primary key
        if self._group_by_clip:
            by_clip = random.permutation(len(samples.group))[clips]
            sorted_by = np.lexsort((keys, by_clip, windows))
        else:
            sorted_by = np.lexsort((keys, windows))
        return chosen[sorted_by], windows[sorted_by]

    def _chosen(self, epoch: int) -> np.ndarray:
        """Samples of an epoch: all of the stage's own, and the next ones of each further part, which repeats."""
        chosen, first = [np.arange(self._samples.parts[0])], self._samples.parts[0]
        for part, (size, count) in enumerate(zip(self._samples.parts[1:], self._counts[1:], strict=True), 1):
            begin, end = epoch * count, (epoch + 1) * count
            for number in range(begin // size, -(-end // size)):  # passes over the part that this epoch overlaps
                passed = np.random.default_rng([self._seed, part, number, 1]).permutation(size)
                chosen.append(first + passed[max(0, begin - number * size) : end - number * size])
            first += size
        return np.concatenate(chosen)

    def _costs(self, order: np.ndarray) -> np.ndarray:
        tokens = self._samples.tokens
        if self._budget is None or tokens is None:
            return np.ones(len(order), dtype=np.int64)
        clips = self._samples.clip[order]
        first = np.ones(len(order), dtype=bool)
        if self._group_by_clip:
            first[1:] = clips[1:] != clips[:-1]
        return tokens[order] + self._prefix * first


def cuts(costs: np.ndarray, parts: int) -> np.ndarray:
    """Split a sequence into non-empty contiguous parts of nearly equal cost.

    Args:
        costs: Cost of each element, `(n,)` integers.
        parts: Number of parts, at most n.

    Returns:
        `(parts + 1,)`: part k is `[cuts[k], cuts[k + 1])`. It costs less than the mean plus one element.

    Raises:
        ValueError: There are fewer elements than parts.
    """
    count = len(costs)
    if count < parts:
        raise ValueError(f"a batch of {count} sample(s) cannot be divided among {parts} workers and parts of theirs")
    summed = np.cumsum(costs, dtype=np.int64)
    # Cut after the element at which the cumulative cost reaches k / parts of the total; integers avoid rounding errors.
    edges = np.searchsorted(summed * parts, np.arange(1, parts) * summed[-1], side="left") + 1
    steps = np.arange(1, parts)
    edges = np.maximum.accumulate(np.maximum(edges, steps) - steps) + steps
    edges = np.minimum(edges, count - parts + steps)
    return np.concatenate([[0], edges, [count]])
