"""The chat that the engine answers, and its answer, free of HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Chat:
    """A chat and how to answer it.

    Attributes:
        messages: With `role` and `content`, the content a string or a list of `{"type": "video"}` and
            `{"type": "text", "text": ...}` parts.
        videos: SHA-256 of the videos, in the order in which the messages show them.
        max_tokens: Longest answer, in tokens; None is as much as the server allows.
        temperature: 0 takes the most likely token each time.
        top_p: Share of the probability that tokens are drawn from, 0..1.
        seed: Repeats a sampled answer.
        stop: The answer ends before any of these strings.
    """

    messages: list[dict[str, Any]]
    videos: list[str]
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: What it adds.
        prompt_tokens: Tokens of the prompt, visual ones included.
        completion_tokens: Tokens of the answer so far.
        cached_tokens: Of the prompt's tokens, those whose keys and values the engine held already.
        finish_reason: None while more will come; ``stop`` or ``length`` with the last part.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: Literal["stop", "length"] | None = None
    cached_tokens: int = 0
