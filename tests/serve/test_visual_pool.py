"""Ids of visual tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.visual_pool import MAX_ID, PoolFullError, VisualPool

TOKENS, LEVELS, WIDTH, FIRST = 3, 2, 4, 100


def pool_of(capacity: int) -> VisualPool:
    return VisualPool(FIRST, tokens=TOKENS, levels=LEVELS, width=WIDTH, capacity=capacity)


def video(value: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and levels that say which video and which token they are of."""
    tokens = value + torch.arange(TOKENS).float()[:, None].expand(TOKENS, WIDTH) / 10
    return tokens, torch.stack([tokens + 1000, tokens + 2000])


def test_ids_read_their_video() -> None:
    pool = pool_of(2)
    spans = {value: pool.acquire(str(value), video(value)) for value in (1, 2)}
    mixed = torch.tensor([spans[2][1], spans[1][0], spans[2][2]])
    tokens, levels = pool.lookup(mixed)
    expected = torch.stack([video(2)[0][1], video(1)[0][0], video(2)[0][2]])
    assert torch.equal(tokens, expected)
    assert torch.equal(levels, torch.stack([expected + 1000, expected + 2000]))


def test_a_video_in_the_pool_is_not_loaded_again() -> None:
    pool = pool_of(1)
    span = pool.acquire("a", video(1))
    assert pool.acquire("a") == span


def test_the_video_unused_for_longest_makes_room_and_comes_back_under_new_ids() -> None:
    pool = pool_of(2)
    first = pool.acquire("a", video(1))
    pool.acquire("b", video(2))
    pool.acquire("a", video(1))
    for key in ("a", "a", "b"):
        pool.release(key)
    pool.acquire("a", video(1))
    pool.release("a")
    pool.acquire("c", video(3))
    assert "a" in pool and "b" not in pool
    pool.acquire("d", video(4))
    assert "a" not in pool
    pool.release("c")
    again = pool.acquire("a", video(1))
    assert not set(first) & set(again)


def test_a_video_in_use_stays() -> None:
    pool = pool_of(1)
    pool.acquire("a", video(1))
    with pytest.raises(PoolFullError):
        pool.acquire("b", video(2))
    pool.release("a")
    pool.acquire("b", video(2))


def test_what_the_pool_does_not_hold_takes_no_place_without_features() -> None:
    pool = pool_of(1)
    with pytest.raises(KeyError):
        pool.acquire("a")
    pool.acquire("b", video(2))


def test_ids_of_a_video_that_left_read_zeros() -> None:
    pool = pool_of(1)
    span = pool.acquire("a", video(1))
    pool.release("a")
    pool.acquire("b", video(2))
    assert not pool.lookup(torch.tensor(list(span)))[0].any()


def test_ids_end_where_integers_do() -> None:
    pool = VisualPool(MAX_ID - TOKENS - 1, tokens=TOKENS, levels=LEVELS, width=WIDTH, capacity=2)
    pool.acquire("a", video(1))
    with pytest.raises(OverflowError, match="restart"):
        pool.acquire("b", video(2))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_an_id_never_stands_for_two_things(steps) -> None:
    pool, held, meaning = pool_of(2), [], {}
    for acquire, number in steps:
        if acquire:
            loaded = str(number) not in pool
            try:
                span = pool.acquire(str(number), video(number))
            except PoolFullError:
                continue
            held.append(number)
            for token in span:
                if loaded:
                    assert token not in meaning  # a video that was loaded got ids that were never given
                    meaning[token] = number
                assert meaning[token] == number
            assert torch.equal(pool.lookup(torch.tensor(list(span)))[0], video(number)[0])
        elif held:
            pool.release(str(held.pop(number % len(held))))
