"""The engine under continuous batching, without Ray."""

import asyncio
import math
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from favchat.config import ModelConfig, ServeConfig
from favchat.labels.everyday_templates import CANNOT_TELL
from favchat.model.build import build
from favchat.model.generation import answer as plain_answer
from serve.chat import Piece
from serve.encoder import video_features
from serve.engine import PAGE_TOKENS, Engine
from serve.errors import ApiError
from serve.store import VideoStore
from serve.view import View
from tests.serve.conftest import CLIPS, NAMES, TOKENS, Encoded


@pytest.fixture
def engine(talkative, encoded) -> Iterator[Engine]:
    """An engine that holds one video besides those in use."""
    engine = Engine(*talkative, encoded.store, ServeConfig(max_videos=1, max_new_tokens=1000, cache_tokens=4096))
    yield engine
    engine.close()


async def answer(engine: Engine, chat) -> str:
    return "".join([piece.text async for piece in engine.generate(chat)])


async def ends(engine: Engine, chat) -> tuple[str, str | None]:
    pieces = [piece async for piece in engine.generate(chat)]
    return "".join(piece.text for piece in pieces), pieces[-1].finish_reason


async def last(engine: Engine, chat) -> Piece:
    return [piece async for piece in engine.generate(chat)][-1]


def spied(monkeypatch, engine: Engine) -> tuple[list[list[int]], list[int]]:
    """Prompts as the engine makes them, and how many of their tokens came from the cache."""
    prompts: list[list[int]] = []
    shared: list[int] = []
    make = engine.prompt

    def noted(*args):
        prompts.append(make(*args))
        return prompts[-1]

    monkeypatch.setattr(engine, "prompt", noted)
    cache = engine._manager.batch_processor.cache
    match = cache.search_prefix_match

    def counted(*args):
        shared.append(match(*args))
        return shared[-1]

    monkeypatch.setattr(cache, "search_prefix_match", counted)
    return prompts, shared


def test_many_at_once_answer_as_plain_generation(talkative, encoded, expected) -> None:
    engine = Engine(*talkative, encoded.store, ServeConfig(max_videos=4))

    async def all_at_once() -> list[str]:
        chats = [encoded.chat(NAMES[index % 3]) for index in range(9)]
        return await asyncio.gather(*(answer(engine, chat) for chat in chats))

    try:
        assert asyncio.run(all_at_once()) == [expected[NAMES[index % 3]] for index in range(9)]
    finally:
        engine.close()


def test_ids_are_never_given_twice(engine, encoded, expected, monkeypatch) -> None:
    async def ask_in_turn() -> tuple[list[str], list[list[int]]]:
        await answer(engine, encoded.chat("pexels_0"))  # the manager makes its cache with the first request
        prompts, _ = spied(monkeypatch, engine)
        return [await answer(engine, encoded.chat(name)) for name in order], prompts

    order = ["capture_0", "pexels_0", "capture_0", "franck_1", "pexels_0"]  # each drives the one before out
    answers, prompts = asyncio.run(ask_in_turn())
    assert answers == [expected[name] for name in order]
    visual = [{token for token in prompt if token >= engine.pool.first_id} for prompt in prompts]
    assert all(len(ids) == 32 for ids in visual)
    assert len(set.union(*visual)) == 32 * len(order)


def test_ids_given_twice_would_answer_from_the_wrong_video(engine, encoded, expected) -> None:
    async def ask_in_turn() -> str:
        await answer(engine, encoded.chat("pexels_0"))
        engine.pool._next = 0  # what the pool must never do
        return await answer(engine, encoded.chat("capture_0"))

    assert asyncio.run(ask_in_turn()) != expected["capture_0"]


def test_a_prefix_is_shared_with_the_same_video_only(talkative, encoded, monkeypatch) -> None:
    engine = Engine(*talkative, encoded.store, ServeConfig(max_videos=4))

    async def ask_in_turn() -> tuple[list[list[int]], list[int]]:
        await answer(engine, encoded.chat("pexels_0"))
        prompts, shared = spied(monkeypatch, engine)
        await answer(engine, encoded.chat("capture_0"))
        await answer(engine, encoded.chat("capture_0", question="What is the person's expression?"))
        await answer(engine, encoded.chat("franck_1", question="What is the person's expression?"))
        return prompts, shared

    try:
        prompts, shared = asyncio.run(ask_in_turn())
    finally:
        engine.close()
    begin = next(place for place, token in enumerate(prompts[0]) if token >= engine.pool.first_id)
    assert shared[0] == begin // PAGE_TOKENS * PAGE_TOKENS > 0  # the system prompt, of another video's question
    assert shared[1] >= begin + 32 - PAGE_TOKENS  # the same video: its tokens, too
    assert shared[2] == shared[0]


def test_leaving_early_cancels(engine, encoded) -> None:
    async def leave() -> None:
        pieces = engine.generate(encoded.chat("pexels_0", max_tokens=1000))
        async for piece in pieces:
            if piece.completion_tokens > 2:
                break
        await pieces.aclose()
        for _ in range(100):
            if not engine._manager.batch_processor.scheduler.active_requests:
                return
            await asyncio.sleep(0.05)
        pytest.fail("still generating")

    asyncio.run(leave())
    assert engine.counters["running"] == 0 and engine.counters["cancelled"] == 1
    assert engine.counters["generated_tokens"] < 1000
    assert not engine.pool._users


def test_a_request_that_cannot_be_answered_gives_its_video_free(engine, encoded) -> None:
    with pytest.raises(ApiError, match="no token 99999") as caught:
        asyncio.run(answer(engine, encoded.chat("pexels_0", logit_bias={99999: 1.0})))
    assert caught.value.status == 400
    with pytest.raises(ApiError, match="context holds 2048") as caught:
        asyncio.run(answer(engine, encoded.chat("pexels_0", question="word " * 500)))
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(ApiError) as caught:
        asyncio.run(answer(engine, encoded.chat("pexels_0", "capture_0")))  # the pool holds one
    assert caught.value.status == 503
    assert not engine.pool._users


def test_nothing_is_read_or_tokenised_on_the_loop_or_under_the_pool_s_lock(engine, encoded, monkeypatch) -> None:
    seen: dict[str, tuple[bool, bool]] = {}

    def noted(name, work):
        def act(*args):
            seen[name] = (threading.current_thread() is threading.main_thread(), engine.pool._lock.locked())
            return work(*args)

        return act

    monkeypatch.setattr(engine, "_load", noted("load", engine._load))
    monkeypatch.setattr(engine, "prompt", noted("prompt", engine.prompt))
    asyncio.run(answer(engine, encoded.chat("pexels_0")))
    assert seen == {"load": (False, False), "prompt": (False, False)}


def test_a_video_that_left_the_store(engine, encoded) -> None:
    chat = encoded.chat("pexels_0")
    chat.videos[0] = View("0" * 64)
    with pytest.raises(ApiError) as caught:
        asyncio.run(answer(engine, chat))
    assert (caught.value.status, caught.value.code) == (503, "video_dropped")


def test_sampling_beside_greedy_requests(engine, encoded, expected) -> None:
    async def together() -> list[str]:
        sampled = [encoded.chat("pexels_0", temperature=1.5, seed=seed) for seed in (1, 1, 2)]
        return await asyncio.gather(*(answer(engine, chat) for chat in [*sampled, encoded.chat("pexels_0")]))

    one, same, other, greedy = asyncio.run(together())
    assert one == same
    assert len({one, other, greedy}) == 3
    assert greedy == expected["pexels_0"]


def test_without_a_limit_the_answer_ends_with_the_server_s(talkative, encoded) -> None:
    engine = Engine(*talkative, encoded.store, ServeConfig(max_videos=4, max_new_tokens=TOKENS + 1))

    async def last():
        return [piece async for piece in engine.generate(encoded.chat("pexels_0", max_tokens=None))][-1]

    try:
        piece = asyncio.run(last())
    finally:
        engine.close()
    assert (piece.finish_reason, piece.completion_tokens) == ("length", TOKENS + 1)


def test_answers_begin_as_the_scores_say_as_in_plain_generation(tiny_preset, clips, tmp_path) -> None:
    section = tiny_preset.model.model_dump()
    section["adapter"]["attributes"] = ["eyeglasses", "smile"]
    model, processor = build(ModelConfig(**section))
    head = model.model.adapter.attribute_head
    with torch.no_grad():
        head.mouth.weight.zero_()
        head.mesh.weight.zero_()
        for part in (head.linear, head.motion[-1]):
            part.weight.zero_()
            part.bias.zero_()
        head.linear.bias.copy_(torch.tensor([3.0, -3.0]))  # glasses, no smile
    store = VideoStore(tmp_path, version="test", max_videos=2)
    with (CLIPS / "capture_0.mp4").open("rb") as file:
        key = store.add(file)
    (features,) = video_features(model, processor, [clips["capture_0"]])
    store.derived.write(store.derived.features(View(key)), partial(save_file, features))
    encoded = Encoded(store, {"capture_0": key})
    engine = Engine(model, processor, store, ServeConfig(max_videos=1))
    questions = ["Is he wearing glasses?", "Is he smiling?", "Is he talking?", "Describe his smile."]
    try:
        chats = [encoded.chat("capture_0", question=question, max_tokens=40) for question in questions]
        found = [asyncio.run(answer(engine, chat)) for chat in chats]
        short = asyncio.run(ends(engine, encoded.chat("capture_0", question=questions[0], max_tokens=2)))
        cut = asyncio.run(ends(engine, encoded.chat("capture_0", question=questions[2], max_tokens=7)))
        likely = asyncio.run(last(engine, encoded.chat("capture_0", question=questions[0], logprobs=0, max_tokens=3)))
        said = [
            asyncio.run(last(engine, encoded.chat("capture_0", question=question, options=["no", "yes, surely"])))
            for question in questions[:2]
        ]
    finally:
        engine.close()
    plain = plain_answer(model, processor, [clips["capture_0"]] * 4, questions, max_new_tokens=37)
    assert found[0] == "Yes, they are wearing eyeglasses." and found[1] == "No, they are not smiling."
    assert found[2] == plain[2] == CANNOT_TELL
    assert not found[3].startswith(("Yes", "No", CANNOT_TELL))
    assert found[0] == plain[0]
    assert (short, cut) == (("Ye", "length"), ("I can't", "length"))  # a byte each
    sure = 1 / (1 + math.exp(-3))  # the scores' logits are 3 and -3
    assert [one.token.logprob for one in likely.logprobs] == pytest.approx([math.log(sure), 0, 0], abs=1e-4)
    assert [one.text for one in said] == ["yes, surely", "no"]
    assert said[0].options == pytest.approx({"no": 1 - sure, "yes, surely": sure}, abs=1e-4)


def test_what_is_not_streamed_comes_in_few_messages_with_the_same_text(engine, encoded, expected) -> None:
    async def pieces(**settings: Any) -> list[Piece]:
        return [piece async for piece in engine.generate(encoded.chat(NAMES[0], logprobs=1, **settings))]

    async def both() -> tuple[list[Piece], list[Piece]]:
        return await pieces(), await pieces(stream=False)

    streamed, whole = asyncio.run(both())
    assert len(whole) == 3 < len(streamed)  # taken in, the first token, all others
    for found in (streamed, whole):
        assert "".join(piece.text for piece in found) == expected[NAMES[0]]
        assert found[-1].completion_tokens == TOKENS
    tokens = [[one.token.text for piece in found for one in piece.logprobs] for found in (streamed, whole)]
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) == TOKENS
