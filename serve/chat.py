"""The chat that the engine answers, and its answer, free of HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from serve.view import View


@dataclass(frozen=True)
class Form:
    """What an answer has to be.

    Attributes:
        kind: ``json`` a JSON schema, ``regex`` a regular expression, ``grammar`` one in Lark's notation.
        text: The schema, expression or grammar.
        field: The request's field that it comes from, for errors.
    """

    kind: Literal["json", "regex", "grammar"]
    text: str
    field: str


@dataclass(frozen=True)
class Chat:
    """A chat and how to answer it.

    Attributes:
        messages: With `role` and `content`, the content a string or a list of `{"type": "video"}` and
            `{"type": "text", "text": ...}` parts.
        videos: The videos, in the order in which the messages show them.
        max_tokens: Longest answer, in tokens; None is as much as the server allows.
        temperature: 0 takes the most likely token each time.
        top_p: Share of the probability that tokens are drawn from, 0..1.
        top_k: How many tokens are drawn from; 0 is all.
        min_p: Least probability of a token that is drawn, as a share of the likeliest one's.
        seed: Repeats a sampled answer.
        stop: The answer ends before any of these strings.
        n: How many answers.
        logprobs: How many likeliest tokens to tell beside each token's own probability; None: none of it.
        frequency_penalty: See :class:`serve.decoding.Penalties`.
        presence_penalty: See there.
        repetition_penalty: See there.
        logit_bias: See there.
        form: What the answer has to be.
        options: The answer is one of these.
        stream: Whether each token is wanted as soon as it is there; else the first and then all others together.
    """

    messages: list[dict[str, Any]]
    videos: list[View]
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    n: int = 1
    logprobs: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    form: Form | None = None
    options: list[str] = field(default_factory=list)
    stream: bool = True


@dataclass(frozen=True)
class TokenText:
    """A token and how likely it was.

    Attributes:
        text: What it decodes to.
        data: Its bytes.
        logprob: Logarithm of its probability.
    """

    text: str
    data: bytes
    logprob: float


@dataclass(frozen=True)
class Logprob:
    """A token of an answer.

    Attributes:
        token: The token.
        top: The likeliest ones at its place.
    """

    token: TokenText
    top: list[TokenText] = field(default_factory=list)


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: What it adds.
        prompt_tokens: Tokens of the prompt, visual ones included.
        completion_tokens: Tokens of this answer so far.
        finish_reason: None while more will come; ``stop`` or ``length`` with the last part.
        index: Which of several answers.
        logprobs: Of the tokens that it adds, where they were asked for.
        cached_tokens: Of the prompt's tokens, those whose keys and values the engine held already.
        options: With the last part of an answer that is one of several options, the probability of each.
        notices: What the client should know.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: Literal["stop", "length"] | None = None
    index: int = 0
    logprobs: list[Logprob] = field(default_factory=list)
    options: dict[str, float] | None = None
    notices: tuple[dict[str, str], ...] = ()
    cached_tokens: int = 0


@dataclass(frozen=True)
class FrameEffects:
    """How likely an answer is, with all frames and without.

    Attributes:
        by: What makes it likely: the `scores`, the `words` as the language model writes them, `both`; or a `rule`
            alone, so that no frame matters.
        logprob: The logarithm of its probability.
        hidden: The same with each of some frames hidden.
        frames: Which of the clip's sampled frames they are.
        prompt_tokens: Tokens that the language model read.
        answer_tokens: Tokens whose probability it told.
    """

    by: Literal["scores", "words", "both", "rule"]
    logprob: float
    hidden: list[float]
    frames: list[int]
    prompt_tokens: int
    answer_tokens: int
