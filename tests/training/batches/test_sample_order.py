import copy

import numpy as np
import pytest

from favchat.training.batches.sample_order import BatchSchedule, Samples, cuts


def samples(clips=60, groups=6, seed=0, parts=None, tokens=False):
    """Between 1 and 5 samples about each clip."""
    random = np.random.default_rng(seed)
    clip = np.repeat(np.arange(clips), random.integers(1, 6, clips))
    return Samples(
        clip,
        np.arange(clips) * groups // clips,
        parts or (len(clip),),
        random.integers(10, 60, len(clip)) if tokens else None,
    )


def epoch(schedule, number=0):
    steps = range(number * schedule.steps_per_epoch, (number + 1) * schedule.steps_per_epoch)
    return [schedule.batch(step) for step in steps]


@pytest.mark.parametrize("settings", [{"batch_size": 8}, {"batch_size": 8, "group_by_clip": False}])
def test_an_epoch_has_each_sample_once_in_steps_of_one_size(settings):
    given = samples()
    schedule = BatchSchedule(given, seed=0, **settings)
    batches = epoch(schedule)
    assert sorted(np.concatenate(batches)) == list(range(len(given.clip)))
    assert {len(batch) for batch in batches} <= {8, 9}
    assert len(batches) == len(given.clip) // 8


def test_the_order_depends_on_seed_and_epoch_alone():
    given = samples()
    schedule = BatchSchedule(given, seed=0, batch_size=8)
    again = copy.deepcopy(schedule)
    # Out of turn: nothing of what came before counts.
    for step in (30, 3, 0, 12):
        assert list(schedule.batch(step)) == list(again.batch(step))
    orders = [
        np.concatenate(epoch(p, e))
        for p, e in ((schedule, 0), (schedule, 1), (BatchSchedule(given, seed=1, batch_size=8), 0))
    ]
    assert len({tuple(order) for order in orders}) == 3
    assert list(orders[0]) != sorted(orders[0])


@pytest.mark.parametrize("workers", [2, 3, 8])
@pytest.mark.parametrize("budget", [None, 1200])
def test_the_workers_parts_make_the_batch(workers, budget):
    schedule = BatchSchedule(samples(tokens=True), seed=0, batch_size=8, token_budget=budget, prefix=40)
    for step in range(2 * schedule.steps_per_epoch):
        parts = [schedule.part(step, rank, workers) for rank in range(workers)]
        assert all(len(part) for part in parts)
        assert list(np.concatenate(parts)) == list(schedule.batch(step))


def test_samples_about_a_clip_come_together_or_anywhere():
    given = samples()
    for group_by_clip, runs in ((True, 60), (False, 100)):
        order = np.concatenate(epoch(BatchSchedule(given, seed=0, batch_size=8, group_by_clip=group_by_clip)))
        changes = 1 + np.count_nonzero(np.diff(given.clip[order]))
        assert changes == runs if group_by_clip else changes > runs


def test_a_window_takes_few_row_groups():
    given = samples(groups=12)  # of 5 clips each
    schedule = BatchSchedule(given, seed=0, batch_size=4, window=10)
    seen, step, ends = [], 0, []
    while step < schedule.steps_per_epoch:
        end = schedule.window_end(step)
        found = np.concatenate([schedule.batch(index) for index in range(step, end)])
        seen.append(set(given.group[given.clip[found]]))
        ends.append(end)
        step = end
    assert step == schedule.steps_per_epoch  # a window ends with the epoch
    assert len(seen) == 6
    assert all(len(groups) <= 4 for groups in seen)  # two, and those that a step has in common with its neighbours
    assert schedule.window_end(ends[0] - 1) == ends[0]


def test_a_budget_of_tokens_is_kept_but_for_one_clip():
    given = samples(tokens=True)
    schedule = BatchSchedule(given, seed=0, batch_size=8, token_budget=1000, prefix=40)
    batches = epoch(schedule)
    assert sorted(np.concatenate(batches)) == list(range(len(given.clip)))
    sizes = [given.tokens[batch].sum() + 40 * len(set(given.clip[batch])) for batch in batches]
    assert max(sizes) <= 1000 + 2 * 40 + 60  # a clip's questions may be cut in two, each with a prefix
    assert np.mean(sizes) > 900
    assert len(epoch(schedule, 5)) == len(batches)


def test_a_mixture_keeps_its_shares_and_goes_through_all_of_its_parts():
    given = samples(parts=None)
    own = len(given.clip) - 50
    given = samples(parts=(own, 50))
    schedule = BatchSchedule(given, seed=0, batch_size=8, shares=[0.2])
    count = round(0.2 * own / 0.8)
    assert count < 50
    found = [np.concatenate(epoch(schedule, number)) for number in range(4)]
    for order in found:
        assert len(order) == schedule.samples_per_epoch == own + count
        assert sorted(order[order < own]) == list(range(own))
    mixed = np.concatenate([order[order >= own] for order in found])
    uses = np.bincount(mixed - own, minlength=50)
    assert uses.max() - uses.min() <= 1  # none twice before all were there once


def test_a_scarce_part_comes_several_times():
    given = samples()
    given = samples(parts=(len(given.clip) - 2, 2))
    order = np.concatenate(epoch(BatchSchedule(given, seed=0, batch_size=4, shares=[0.5])))
    counts = np.bincount(order)
    assert set(counts[:-2]) == {1}
    assert abs(int(counts[-1]) - int(counts[-2])) <= 1
    assert counts[-2:].sum() == len(given.clip) - 2


@pytest.mark.parametrize(
    ("costs", "parts", "edges"),
    [
        ([1] * 8, 2, [0, 4, 8]),
        ([1] * 7, 3, [0, 3, 5, 7]),
        ([9, 1, 1, 1], 3, [0, 1, 2, 4]),
        ([1, 1, 9], 3, [0, 1, 2, 3]),
    ],
)
def test_parts_cost_the_same_and_none_is_empty(costs, parts, edges):
    assert list(cuts(np.array(costs), parts)) == edges


def test_what_cannot_be_divided_is_said():
    with pytest.raises(ValueError, match="a batch of 2 sample.s. cannot be divided among 3"):
        cuts(np.ones(2, dtype=int), 3)
    with pytest.raises(ValueError, match="fewer than batch_size = 1000"):
        BatchSchedule(samples(), seed=0, batch_size=1000)
