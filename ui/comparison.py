"""The same question both ways: two models, or one with and without a part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from ui.client import ApiClient
from ui.library import Clip
from ui.words import percent

PARTS = {"face_encoder": "without the face encoder", "level_injection": "without level injection"}
MOST = 8
"""Attributes that are listed: those whose scores differ most."""

Way = str
"""A model's name, and after a ``|`` the part that it does without."""


class Told(NamedTuple):
    """What one way says."""

    answer: str
    seconds: float
    scores: dict[str, float]
    labels: dict[str, str]


def ways(models: Mapping[str, Sequence[str]]) -> list[tuple[str, Way]]:
    """What can be compared, in words and by name.

    Args:
        models: Of each served model the parts that it may do without.
    """
    return [
        pair
        for name, parts in models.items()
        for pair in [(name, name), *((f"{name} {PARTS.get(part, part)}", f"{name}|{part}") for part in parts)]
    ]


async def compare(api: ApiClient, clip: Clip, question: str, both: Sequence[tuple[str, Way]]) -> str:
    """Ask a question both ways: a table.

    Args:
        api: The server.
        clip: One that was read.
        question: The question.
        both: Two ways, each in words and by name.

    Raises:
        APIError: The server refuses one of them.
    """
    first, second = await asyncio.gather(*(_ask(api, clip, question, way) for _, way in both))
    heads = "".join(f'<th scope="col">{escape(words)}</th>' for words, _ in both)
    rows = [
        ("Answer", escape(first.answer), escape(second.answer)),
        ("Time", f"{first.seconds:.1f} s", f"{second.seconds:.1f} s"),
    ]
    shared = [name for name in first.scores if name in second.scores]
    shared.sort(key=lambda name: -abs(first.scores[name] - second.scores[name]))
    rows += [
        (escape(first.labels[name]), percent(first.scores[name]), percent(second.scores[name]))
        for name in shared[:MOST]
    ]
    note = " Below the answers: the scores that differ most." if shared else ""
    body = "".join(f'<tr><th scope="row">{name}</th><td>{a}</td><td>{b}</td></tr>' for name, a, b in rows)
    return (
        f'<table class="fc-compare"><caption>{escape(question)}{note}</caption><thead><tr>'
        f'<th scope="col">Both ways</th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


async def _ask(api: ApiClient, clip: Clip, question: str, way: Way) -> Told:
    model, _, part = way.partition("|")
    without = [part] if part else None
    began = time.monotonic()
    turns = [{"role": "user", "content": question}]
    pieces = [
        piece.text
        async for piece in api.answer(clip.file_id or "", turns, face=clip.face, model=model, without=without)
    ]
    took = time.monotonic() - began
    told = await asyncio.to_thread(
        api.scores, clip.file_id or "", model, face=clip.face or None, window_s=0, without=without
    )
    rows = [row for row in told["attributes"] if row["score"] is not None]
    return Told(
        "".join(pieces).strip() or "(no word)",
        took,
        {row["name"]: row["score"] for row in rows},
        {row["name"]: row["label"] for row in rows},
    )
