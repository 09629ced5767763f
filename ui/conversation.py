"""Asking about a clip: streamed answers, what the page says meanwhile, trying again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from openai import APIError

from ui.client import GONE, ApiClient, Turn, code_of, passes
from ui.library import Clip

SILENCE = "(The model ended its answer without a word.)"
PATIENCE = 60.0
"""Seconds for which a question waits for a server that is full, starts or is away."""
AGAIN = 1.0
"""Seconds between two tries."""


@dataclass(frozen=True)
class Told:
    """How far an answer is.

    Attributes:
        turns: The conversation with what is said so far.
        status: What the page says beside it.
        running: Whether more comes.
        error: Why there is no answer; the question is no longer in ``turns`` then.
    """

    turns: list[Turn]
    status: str
    running: bool = True
    error: str = ""


async def ask(api: ApiClient, clip: Clip, question: str, **options: Any) -> AsyncGenerator[Told]:
    """Ask the next question about a clip, which keeps what is said; closing the generator cancels the request.

    Args:
        api: The server.
        clip: With the conversation so far.
        question: The question.
        options: Fields of the request, such as ``temperature`` and ``max_tokens``.
    """
    asked: list[Turn] = [*clip.turns, {"role": "user", "content": question}]
    began = time.monotonic()
    clip.asking = question
    try:
        yield Told(asked, "Thinking")
        async with aclosing(_tries(api, clip, asked, began, options)) as tries:
            async for told in tries:
                yield told
    finally:
        clip.asking = None


async def _tries(
    api: ApiClient, clip: Clip, asked: list[Turn], began: float, options: dict[str, Any]
) -> AsyncGenerator[Told]:
    before = asked[:-1]
    while True:
        try:
            async with aclosing(_answer(api, clip, asked, began, options)) as answer:
                async for told in answer:
                    yield told
            return
        except APIError as error:
            said = clip.turns[len(asked) :]
            left = PATIENCE - (time.monotonic() - began)
            if not said and code_of(error) in GONE and clip.path is not None and left > 0:
                await _send_again(api, clip)
            elif not said and passes(error) and left > 0:
                yield Told(asked, "The server has no room or is away; asking again")
                await asyncio.sleep(AGAIN)
            else:
                clip.turns = before
                yield Told(before, "", False, api.explain(error))
                return


async def _answer(
    api: ApiClient, clip: Clip, asked: list[Turn], began: float, options: dict[str, Any]
) -> AsyncGenerator[Told]:
    await send_if_gone(api, clip)
    face = clip.face
    answer, first, notices, tokens = "", None, [], None
    async with aclosing(api.answer(clip.file_id or "", asked, face=face, **options)) as pieces:
        async for piece in pieces:
            notices += piece.notices
            tokens = piece.tokens or tokens
            if piece.text:
                first = first or time.monotonic() - began
                answer += piece.text
                clip.talks[face] = [*asked, {"role": "assistant", "content": answer}]
                yield Told(clip.talks[face], "Answering")
    clip.talks[face] = [*asked, {"role": "assistant", "content": answer or SILENCE}]
    took = time.monotonic() - began
    status = f"First word after {first if first is not None else took:.1f} s, all of it after {took:.1f} s."
    yield Told(clip.talks[face], " ".join([status, *notices]), False)


async def send_if_gone(api: ApiClient, clip: Clip) -> None:
    """Upload a clip whose place on the server was given to another one.

    Raises:
        APIError: The server refuses it.
    """
    if clip.file_id is None:
        await _send_again(api, clip)


async def _send_again(api: ApiClient, clip: Clip) -> None:
    """Upload a clip whose place on the server was needed, or whose server began anew."""
    if clip.path is None or not clip.path.is_file():
        return
    clip.file_id = (await asyncio.to_thread(api.upload, clip.path)).id


def until_question(turns: list[Turn], index: int) -> tuple[list[Turn], str]:
    """The turns before a question, and the question: the last one of the user up to a turn's number."""
    for number in range(min(index, len(turns) - 1), -1, -1):
        if turns[number]["role"] == "user":
            return turns[:number], turns[number]["content"]
    return turns, ""
