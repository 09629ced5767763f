"""How much an answer depends on each frame: how much less likely it is with the frame hidden.

Leave-one-out (Li, Monroe and Jurafsky 2016, arXiv 1612.08220) of the frames. What the scores decide of an answer is as
likely as they say, see :mod:`favchat.model.answer_claims`; the rest as the language model says, which reads a video
whose visual tokens were computed with the frame hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from safetensors.torch import load_file
from torch import Tensor

from favchat.model.answer_claims import claims_of, log_likelihood
from serve.chat import Chat, FrameEffects
from serve.derived_files import gone
from serve.errors import ApiError
from serve.likelihood import after_prompts

if TYPE_CHECKING:
    from serve.engine import Engine


async def frame_effects(engine: Engine, chat: Chat, answer: str) -> FrameEffects:
    """What each frame that the model saw does for an answer.

    Args:
        engine: The engine.
        chat: A question about one video, whose features with hidden frames the store has.
        answer: The answer.

    Raises:
        ApiError: The video left the store, or the answer is too long.
    """
    (view,) = chat.videos
    try:
        derived = engine.store.derived
        paths = (derived.features(view), derived.hidden(view))
        whole, hidden = await asyncio.gather(*(asyncio.to_thread(load_file, path) for path in paths))
    except FileNotFoundError:
        raise gone() from None
    frames = hidden["frames"].tolist()
    rows = [whole]
    if "tokens" in hidden:
        rows += [{name: hidden[name][n] for name in ("tokens", "levels", "scores")} for n in range(len(frames))]
    likely = await likelihoods(engine, chat, answer, rows)
    first, *others = likely.logprobs
    return FrameEffects(likely.by, first, others, frames, likely.prompt_tokens, likely.answer_tokens)


@dataclass(frozen=True)
class Likelihoods:
    """How likely an answer is for each of some videos; see :class:`FrameEffects`."""

    by: Literal["scores", "words", "both", "rule"]
    logprobs: list[float]
    prompt_tokens: int
    answer_tokens: int


async def likelihoods(engine: Engine, chat: Chat, answer: str, rows: Sequence[Mapping[str, Tensor]]) -> Likelihoods:
    """How likely an answer is for each of some versions of a video.

    Args:
        engine: The engine.
        chat: A question about one video.
        answer: The answer.
        rows: Features of each version, see :func:`serve.encoder.video_features`; the scores of the first decide what
            the language model is asked for.

    Raises:
        ApiError: The answer is too long.
    """
    question, names = engine.question(chat), engine.processor.attributes
    # A model without attributes has no scores, and whatever it says is its language model's.
    scores = [dict(zip(names, row["scores"][0].tolist(), strict=True)) for row in rows]
    likely = dict(zip(names, rows[0]["scores"][1].tolist(), strict=True))
    claims, decided = claims_of(question, answer, scores[0], likely) if names else ([], "")
    logprobs = [log_likelihood(claims, one) for one in scores] if names else [0.0] * len(rows)
    tokens = engine.processor.answer_ids(answer.strip())[:-1]  # that it ends there is no part of it
    begun = _begun(engine, tokens, decided)
    rest = [] if decided == answer.strip() else tokens[begun:]
    if not rest:
        return Likelihoods("scores" if claims else "rule", logprobs, 0, 0)
    words, read = await _words(engine, chat, tokens[:begun], rest, rows)
    total = [score + word for score, word in zip(logprobs, words, strict=True)]
    return Likelihoods("both" if claims else "words", total, read, len(rows) * len(rest))


def _begun(engine: Engine, tokens: Sequence[int], decided: str) -> int:
    """How many tokens of an answer stand for what is decided."""
    begin = engine.processor.answer_ids(decided)[:-1] if decided else []
    return len(begin) if list(tokens[: len(begin)]) == begin else 0


async def _words(
    engine: Engine, chat: Chat, begun: list[int], rest: list[int], rows: Sequence[Mapping[str, Tensor]]
) -> tuple[list[float], int]:
    """The language model's part for each row, and how many tokens it read for it."""
    found: list[float] = []
    read = 0
    async with engine.spare:
        for start in range(0, len(rows), engine.spare_places):
            spans: list[range] = []
            try:
                prompts = []
                for row in rows[start : start + engine.spare_places]:
                    spans.append(engine.pool.borrow((row["tokens"], row["levels"])))
                    prompts.append([*await asyncio.to_thread(engine.prompt, chat, [spans[-1]]), *begun])
                if len(prompts[0]) + len(rest) > engine.context:
                    message = f"The question and the answer have {len(prompts[0]) + len(rest)} tokens; the model's "
                    message += f"context holds {engine.context}."
                    raise ApiError(400, message, "answer", "context_length_exceeded")
                noted = await after_prompts(engine.tokens, prompts, rest)
            finally:
                for span in spans:
                    engine.pool.give_back(span)
            found += [sum(one.logprob for one in steps.values()) for steps in noted]
            read += sum(map(len, prompts))
    return found, read
