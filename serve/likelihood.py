"""How likely answers are, token by token: they are written by force, whatever the model would say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from serve.decoding import Decoding, TokenLogprobs

Tokens = Callable[[list[int], int, Decoding | None], AsyncGenerator[tuple[list[int], bool]]]
"""Writes after a prompt at most so many tokens: all so far and whether they are all, each time there is one more."""
Noted = dict[int, TokenLogprobs]
"""The tokens of an answer by their places."""


async def logprobs(tokens: Tokens, prompt: list[int], answer: Sequence[int], top: int = 0) -> Noted:
    """The probabilities of the tokens of one answer.

    Args:
        tokens: Writes.
        prompt: Token ids of the prompt.
        answer: Token ids of the answer.
        top: How many of the likeliest tokens to note at each place.
    """
    return await _noted(tokens, prompt, answer, top, asyncio.Event())


async def after_one_prompt(
    tokens: Tokens, prompt: list[int], answers: Sequence[Sequence[int]], top: int
) -> list[Noted]:
    """The same of several answers to one prompt, which is computed once: the others find it in the cache."""
    begun = asyncio.Event()
    first = asyncio.ensure_future(_noted(tokens, prompt, answers[0], top, begun))
    waiting = asyncio.ensure_future(begun.wait())
    tasks = [first]
    try:
        await asyncio.wait([first, waiting], return_when=asyncio.FIRST_COMPLETED)
        tasks += [asyncio.ensure_future(_noted(tokens, prompt, answer, top, begun)) for answer in answers[1:]]
        return await asyncio.gather(*tasks)
    finally:
        for task in (*tasks, waiting):
            task.cancel()
        await asyncio.gather(*tasks, waiting, return_exceptions=True)


async def after_prompts(tokens: Tokens, prompts: Sequence[list[int]], answer: Sequence[int]) -> list[Noted]:
    """The same of one answer to several prompts, all at once."""
    tasks = [asyncio.ensure_future(logprobs(tokens, prompt, answer)) for prompt in prompts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _noted(tokens: Tokens, prompt: list[int], answer: Sequence[int], top: int, begun: asyncio.Event) -> Noted:
    decoding = Decoding(prompt, forced=answer, top=top)
    async with aclosing(tokens(prompt, len(answer), decoding)) as steps:
        async for _ in steps:
            begun.set()
    return decoding.noted
