"""The engine: chats in, text out as it is written, many at once."""

from __future__ import annotations

import asyncio
import math
import secrets
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from queue import Empty
from typing import Any, Literal

import torch
from jinja2 import TemplateError
from safetensors.torch import load_file
from torch import Tensor
from transformers import ContinuousBatchingConfig, GenerationConfig

from favchat.config import Config, ServeConfig
from favchat.hub.load import load
from favchat.model import FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.answers_by_score import is_whole, probability_of_yes
from favchat.model.generation import starts_of
from favchat.model.processing_favchat import SYSTEM
from favchat.runtime.threads import server_threads
from serve.chat import Chat, Logprob, Piece, TokenText
from serve.decoding import Decoding, Penalties, Sampling, TokenLogprobs, drawn, processor_list
from serve.derived_files import gone
from serve.errors import ApiError, busy
from serve.grammars import Grammars, Matcher
from serve.language_model import VirtualTokenLM, prepare_language_model
from serve.likelihood import Noted, after_one_prompt
from serve.merge import merged
from serve.shared_keys import share_keys_on_cpu
from serve.store import VideoStore
from serve.text_stream import TextStream
from serve.view import View
from serve.visual_pool import PoolFullError, VisualPool

PAGE_TOKENS = 4
"""Tokens of a page of the cache. A prefix is shared in whole pages, and a video has some tens of tokens: with 16 a
second question computed a dozen more tokens again (benchmarks/first_token.py)."""
MAX_BATCH_TOKENS = 512
"""Tokens of all requests that one forward computes; longer prompts are computed in parts, beside which others' answers
go on. With 1024 others waited twice as long for a token, and the long prompt's answer did not begin sooner."""
LOWEST = -9999.0
"""What OpenAI's clients read for minus infinity, which JSON has no word for."""
TINY = 1e-12


class Engine:
    """A language model under continuous batching. Lives in one event loop and computes in a thread of its own.

    Args:
        model: The model; its decoder and head are used.
        processor: Its processor.
        store: Where the visual tokens lie.
        config: The ``serve`` section.
    """

    def __init__(
        self,
        model: FaVChatForConditionalGeneration,
        processor: FaVChatProcessor,
        store: VideoStore,
        config: ServeConfig,
    ) -> None:
        self.processor, self.store, self.config = processor, store, config
        text, adapter = model.config.text_config, model.config.adapter_config
        vocabulary = max(text.vocab_size, len(processor.tokenizer))
        self.pool = VisualPool(
            vocabulary,
            tokens=processor.num_visual_tokens,
            levels=len(model.model.adapter.level_proj),
            width=adapter.output_size,
            capacity=config.max_videos,
            spare=processor.num_frames + 1,
            dtype=model.model.language_model.dtype,
            device=model.model.language_model.device,
        )
        self.spare, self.spare_places = asyncio.Lock(), processor.num_frames + 1
        """For one video at a time with its frames hidden: places of the pool beside those for videos."""
        ends = model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])
        """Tokens that end an answer."""
        self._limit = min(text.max_position_embeddings, config.cache_tokens)
        self._manager = (
            VirtualTokenLM(model, self.pool)
            .eval()
            .init_continuous_batching(
                GenerationConfig(do_sample=False, eos_token_id=ends, pad_token_id=processor.tokenizer.pad_token_id),
                ContinuousBatchingConfig(
                    page_size=PAGE_TOKENS,
                    num_blocks=-(-config.cache_tokens // PAGE_TOKENS),
                    max_batch_tokens=min(MAX_BATCH_TOKENS, config.cache_tokens),
                    max_requests_per_batch=config.max_ongoing_requests,
                    # Sampling draws its noise outside of the graph, batch by batch.
                    use_cuda_graph=False,
                    use_async_batching=False,
                    # Switching may fetch a kernel from a hub.
                    auto_switch_to_flash=False,
                ),
            )
        )
        self._manager.logit_processor = processor_list()
        self._grammars = Grammars(processor.tokenizer, sorted(self.ends))
        self._manager.start()
        self.scores: dict[View, list[list[float]]] = {}
        """Of each view in the pool the scores of the attributes that the model was taught."""
        self.counters = {"requests": 0, "running": 0, "cancelled": 0, "generated_tokens": 0}

    async def warm_up(self) -> None:
        """Answer once about nothing, so that nobody waits for what a first answer takes."""
        nothing, place = View("warm-up"), self.pool.blank()
        try:
            content = [{"type": "video"}, {"type": "text", "text": "Hello?"}]
            chat = Chat([{"role": "user", "content": content}], [nothing])
            ids = await asyncio.to_thread(self.prompt, chat, [self.pool.acquire(nothing, place)])
            async for _ in self.tokens(ids[: self._limit - 2], 2, None):
                pass
        finally:
            self.pool.release(nothing)
        self.counters = dict.fromkeys(self.counters, 0)

    def close(self) -> None:
        """Stop; requests that are running fail."""
        self._manager.stop(block=True, hard_stop=True)

    @property
    def context(self) -> int:
        """Tokens that a chat and its answer may have together."""
        return self._limit

    def check(self) -> None:
        """See that the engine still computes.

        Raises:
            RuntimeError: Its thread has died.
        """
        if not self._manager.is_running():
            raise RuntimeError("the generation thread has died")

    async def generate(self, chat: Chat) -> AsyncIterator[Piece]:
        """Answer a chat. The first piece is empty: it says that the request was taken in.

        Leaving the iterator early, or cancelling the task that reads it, stops the generation.

        Raises:
            ApiError: The request cannot be answered, or not now.
        """
        async with self._videos(chat.videos) as spans:
            # In a thread: others are being written to while a long text is tokenised.
            ids = await asyncio.to_thread(self.prompt, chat, spans)
            longest = max((len(self._option_ids(option)) for option in chat.options), default=1)
            budget = self._budget(chat, len(ids), longest)
            self._check_bias(chat)
            form = chat.form
            # A faulty form is refused before there is an answer.
            matchers = [await asyncio.to_thread(self._grammars.matcher, form) for _ in range(chat.n)] if form else []
            cached = self._cached(ids)
            yield Piece("", len(ids), 0, notices=self._cut(chat, budget), cached_tokens=cached)
            if chat.options:
                yield replace(await self._choose(chat, ids), cached_tokens=cached)
                return
            answers = [self._answer(chat, ids, budget, n, matchers[n] if matchers else None) for n in range(chat.n)]
            async with aclosing(merged(answers)) as pieces:
                async for piece in pieces:
                    yield replace(piece, cached_tokens=cached)

    async def _answer(
        self, chat: Chat, ids: list[int], budget: int, index: int, matcher: Matcher | None
    ) -> AsyncGenerator[Piece]:
        """The pieces of one answer."""
        stream, told = TextStream(self.processor.tokenizer, chat.stop), 0
        # What the scores say comes first, and the language model goes on from there.
        start, likely = self._start(chat) if matcher is None else (None, 1.0)
        fixed = self.processor.answer_ids(start)[:-1] if start else []
        begun = fixed[:budget]
        noted = {n: TokenLogprobs(token, math.log(likely) if n == 0 else 0.0) for n, token in enumerate(begun)}
        if begun and (is_whole(start) or len(begun) == budget):
            text = stream.push(begun, last=True)
            whole = is_whole(start) and len(begun) == len(fixed)
            reason: Literal["stop", "length"] | None = "stop" if whole or stream.stopped else "length"
            yield Piece(text, len(ids), len(begun), reason, index, self._logprobs(chat, noted, 0, len(begun)))
            return
        if begun:  # nobody waits for the model to read what is decided
            text, told = stream.push(begun), len(begun)
            reason = "stop" if stream.stopped else None
            yield Piece(text, len(ids), told, reason, index, self._logprobs(chat, noted, 0, told))
            if reason:
                return
        prompt = [*ids, *begun]
        decoding = self._decoding(chat, prompt, len(begun), index, matcher)
        text = ""
        async with aclosing(self.tokens(prompt, budget - len(begun), decoding)) as answers:
            async for written, done in answers:
                tokens = [*begun, *written]
                text += stream.push(tokens, last=done)
                reason = None
                if done or stream.stopped:
                    reason = "stop" if stream.stopped or tokens[-1] in self.ends else "length"
                # A message to another process takes as long as a row of a batch: none that nobody waits for is sent.
                if reason or (text and (chat.stream or not told)):
                    if decoding is not None:
                        noted |= {len(begun) + step: one for step, one in list(decoding.noted.items())}
                    end = len(tokens) - (tokens[-1] in self.ends)
                    logprobs = self._logprobs(chat, noted, told, end)
                    told = end
                    yield Piece(text, len(ids), len(tokens), reason, index, logprobs)
                    text = ""
                if reason:
                    return

    async def _choose(self, chat: Chat, ids: list[int]) -> Piece:
        """The option that the scores say, where they decide, else the likeliest one or one drawn."""
        begin = dict.fromkeys(chat.options, 0.0)
        start, likely = self._start(chat)
        word = next((word for word in ("Yes", "No") if start and start.startswith(f"{word},")), None)
        said = [option for option in begin if word and option.strip().lower().startswith(word.lower())]
        others = [option for option in begin if option not in said]
        if len(said) == 1 == len(others):
            probabilities = {said[0]: likely, others[0]: 1 - likely}
            best, noted = said[0], {0: TokenLogprobs(self._option_ids(said[0])[0], math.log(max(likely, TINY)))}
        else:
            probabilities, by_option = await self._likelihoods(ids, list(begin), chat.logprobs or 0)
            best = drawn(probabilities, chat.temperature, chat.seed)
            noted = by_option[best]
        tokens = self._option_ids(best)
        logprobs = self._logprobs(chat, noted, 0, min(len(noted), len(tokens) - 1))
        return Piece(best, len(ids), len(tokens), "stop", 0, logprobs, {one: probabilities[one] for one in begin})

    def _option_ids(self, option: str) -> list[int]:
        return self.processor.answer_ids(option)

    async def _likelihoods(
        self, ids: list[int], options: list[str], top: int
    ) -> tuple[dict[str, float], dict[str, Noted]]:
        """Probability of each option, of all options, and its tokens'; each is computed as a whole answer."""
        tokens = [self._option_ids(option) for option in options]
        found = dict(zip(options, await after_one_prompt(self.tokens, ids, tokens, top), strict=True))
        totals = {option: sum(one.logprob for one in steps.values()) for option, steps in found.items()}
        highest = max(totals.values())
        weights = {option: math.exp(total - highest) for option, total in totals.items()}
        return {option: weight / sum(weights.values()) for option, weight in weights.items()}, found

    def _logprobs(self, chat: Chat, noted: Mapping[int, TokenLogprobs], begin: int, end: int) -> list[Logprob]:
        """Of tokens `begin` to `end` of an answer, if they were asked for."""
        if chat.logprobs is None:
            return []
        steps = [noted[step] for step in range(begin, end) if step in noted]
        return [
            Logprob(self._token_text(one.token, one.logprob), [self._token_text(*pair) for pair in one.top])
            for one in steps
        ]

    def _token_text(self, token: int, logprob: float) -> TokenText:
        text = self.processor.tokenizer.decode([token])
        return TokenText(text, text.encode("utf-8", "replace"), max(logprob, LOWEST))

    def _start(self, chat: Chat) -> tuple[str | None, float]:
        """How the answer has to begin, and how likely that is; of one video alone."""
        return self.start(chat, self.scores.get(chat.videos[0], []) if len(chat.videos) == 1 else [])

    def start(self, chat: Chat, values: list[list[float]]) -> tuple[str | None, float]:
        """The same of a video with these `(2, A)` scores, see `favchat.model.answers_by_score.start_of_answer`."""
        if not values or not values[0]:
            return None, 1.0
        question = self.question(chat)
        start = starts_of([values], [True], self.processor.attributes, [question])[0]
        likely = probability_of_yes(question, dict(zip(self.processor.attributes, values[0], strict=True)))
        if likely is None or start is None or not start.startswith(("Yes,", "No,")):
            return start, 1.0
        return start, max(likely if start.startswith("Yes") else 1 - likely, TINY)

    @staticmethod
    def question(chat: Chat) -> str:
        """The words of a chat's last message, without its videos."""
        content = chat.messages[-1]["content"]
        if isinstance(content, str):
            return content
        return " ".join(part["text"] for part in content if part["type"] == "text")

    def _decoding(
        self, chat: Chat, prompt: list[int], begun: int, index: int, matcher: Matcher | None
    ) -> Decoding | None:
        """How to choose the tokens of one answer; None: the most likely ones."""
        sampling = self._sampling(chat, index)
        bias = tuple(chat.logit_bias.items())
        penalties = Penalties(chat.frequency_penalty, chat.presence_penalty, chat.repetition_penalty, bias)
        plain = penalties == Penalties()
        if sampling is None and plain and matcher is None and chat.logprobs is None:
            return None
        return Decoding(prompt, begun, sampling, None if plain else penalties, matcher, top=chat.logprobs)

    async def tokens(
        self, ids: list[int], budget: int, decoding: Decoding | None
    ) -> AsyncGenerator[tuple[list[int], bool]]:
        """All tokens so far and whether they are all, each time there is one more."""
        outputs: asyncio.Queue[Any] = asyncio.Queue()
        request = uuid.uuid4().hex
        self._forget_leftovers()
        self._manager.register_result_handler(request, outputs.put_nowait)
        settings = {} if decoding is None else {"decoding": decoding}
        finished, count = False, 0
        self.counters["requests"] += 1
        self.counters["running"] += 1
        try:
            taken = self._manager.add_request(
                ids, request, max_new_tokens=budget, streaming=True, eos_token_id=list(self.ends), **settings
            )
            if taken is None:
                raise busy("The engine is restarting. Try again in a moment.")
            while not finished:
                output = await outputs.get()
                finished = output.is_finished()
                if output.error is not None:
                    raise ApiError(500, f"The engine failed: {output.error}", code="engine_failed")
                self.counters["generated_tokens"] += len(output.generated_tokens) - count
                count = len(output.generated_tokens)
                yield output.generated_tokens, finished
        finally:
            self.counters["running"] -= 1
            if not finished:
                self.counters["cancelled"] += 1
                self._manager.cancel_request(request)
                self._manager.output_router.result_handlers.pop(request, None)

    def _forget_leftovers(self) -> None:
        """Drop what was still computed for cancelled requests: without a handler it lands in the manager's queue."""
        try:
            while True:
                self._manager.output_router.output_queue.get_nowait()
        except Empty:
            return

    @asynccontextmanager
    async def _videos(self, views: list[View]) -> AsyncIterator[list[range]]:
        """The ids of videos in use, in order."""
        held: list[View] = []
        try:
            spans = []
            for view in views:
                # Read from disk in a thread and without the pool's lock, which the generation waits for.
                features = None if view in self.pool else await asyncio.to_thread(self._load, view)
                spans.append(self.pool.acquire(view, features))
                held.append(view)
            yield spans
        except PoolFullError:
            raise busy("Questions about too many different videos are being answered. Try again.") from None
        finally:
            for view in held:
                self.pool.release(view)

    def _load(self, view: View) -> tuple[Tensor, Tensor]:
        try:
            features = load_file(self.store.derived.features(view))
        except FileNotFoundError:
            raise gone() from None
        if len(self.scores) >= 2 * self.config.max_videos:
            self.scores = {kept: scores for kept, scores in self.scores.items() if kept in self.pool}
        self.scores[view] = features["scores"].tolist()
        return features["tokens"], features["levels"]

    def prompt(self, chat: Chat, spans: list[range]) -> list[int]:
        """Token ids of the chat, each video's placeholders replaced by its own ids."""
        messages = chat.messages
        if not any(message["role"] == "system" for message in messages):
            messages = [{"role": "system", "content": SYSTEM}, *messages]
        try:
            prompt = self.processor.apply_chat_template(messages, add_generation_prompt=True)
        except TemplateError as error:
            raise ApiError(400, f"The model's chat template refuses these messages: {error}", "messages") from None
        ids, placeholders = self.processor.prompt_ids(prompt), self.processor.placeholder_ids
        visual = (token for span in spans for token in span)
        return [next(visual) if token in placeholders else token for token in ids]

    def _cached(self, ids: list[int]) -> int:
        """Tokens of a prompt whose keys and values the cache holds now."""
        batches = self._manager.batch_processor
        if batches is None:
            return 0
        caches = batches.cache.cache_allocators.values()
        return min((len(cache.match_prefix_blocks(ids)) * cache.tokens_per_page for cache in caches), default=0)

    def _budget(self, chat: Chat, prompt_tokens: int, least: int) -> int:
        """Tokens that the answer may have: what was asked for, the server's limit, what the context has room for.

        Raises:
            ApiError: There is no room for the `least` that it has to have.
        """
        room = self._limit - prompt_tokens
        if room < least:
            raise ApiError(
                400,
                f"The chat has {prompt_tokens} tokens, its answer {least} at least; the model's context holds "
                f"{self._limit}. Shorten the chat or send fewer videos.",
                "messages",
                "context_length_exceeded",
            )
        return min(chat.max_tokens or self.config.max_new_tokens, self.config.max_new_tokens, room)

    def _check_bias(self, chat: Chat) -> None:
        """A token that does not exist would stop the whole batch."""
        for token in chat.logit_bias:
            if token >= len(self.processor.tokenizer):
                raise ApiError(400, f"logit_bias: there is no token {token}.", "logit_bias")

    def _cut(self, chat: Chat, budget: int) -> tuple[dict[str, str], ...]:
        if chat.max_tokens is None or chat.max_tokens <= budget:
            return ()
        message = f"{chat.max_tokens} tokens were asked for; this answer may have {budget}."
        return ({"code": "max_tokens_cut", "message": message},)

    def _sampling(self, chat: Chat, index: int) -> Sampling | None:
        if chat.temperature == 0 or chat.top_p == 0:
            return None
        seed = secrets.randbits(31) if chat.seed is None else chat.seed
        return Sampling(chat.temperature, chat.top_p, seed + index, chat.top_k, chat.min_p)


def load_engine(config: Config) -> Engine:
    """The engine of ``serve.model``."""
    torch.set_num_threads(server_threads(config.serve.threads))
    model, processor = load(config.serve.model or "")
    # The encoders have a deployment of their own.
    del model.model.vision_model, model.model.face_model
    if config.serve.use_gpu:
        model = model.to("cuda")
    prepare_language_model(model, config.serve)
    share_keys_on_cpu(model.device)
    return Engine(model, processor, VideoStore.of(config), config.serve)
