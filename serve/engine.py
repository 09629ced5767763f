"""The engine: chats in, text out as it is written, many at once."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from queue import Empty
from typing import Any, Literal

import torch
from jinja2 import TemplateError
from safetensors.torch import load_file
from torch import Tensor
from transformers import ContinuousBatchingConfig, GenerationConfig

from favchat.config import Config, ServeConfig
from favchat.model import FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.generation import WHOLE_ANSWERS, starts_of
from favchat.model.processing_favchat import SYSTEM
from favchat.runtime.threads import allowed_cpus
from serve.chat import Chat, Piece
from serve.errors import ApiError, busy
from serve.language_model import VirtualTokenLM
from serve.sampling import Sampling, processor_list
from serve.store import VideoStore, gone
from serve.text_stream import TextStream
from serve.visual_pool import PoolFullError, VisualPool

PAGE_TOKENS = 16
"""Tokens of a page of the cache. A prefix is shared in whole pages, and a video has some tens of tokens."""
MAX_BATCH_TOKENS = 1024
"""Tokens of all requests that one forward computes; longer prompts are computed in parts."""


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
            dtype=model.model.language_model.dtype,
            device=model.model.language_model.device,
        )
        ends = model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])
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
        self._manager.start()
        self._scores: dict[str, list[float]] = {}
        """Of each video in the pool the scores of the attributes that the model was taught."""
        self.counters = {"requests": 0, "running": 0, "cancelled": 0, "generated_tokens": 0}

    async def warm_up(self) -> None:
        """Answer once about nothing, so that nobody waits for what a first answer takes."""
        name, place = "warm-up", self.pool.blank()
        try:
            chat = Chat([{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Hello?"}]}], [name])
            ids = await asyncio.to_thread(self._prompt, chat, [self.pool.acquire(name, place)])
            async for _ in self._tokens(ids[: self._limit - 2], 2, None):
                pass
        finally:
            self.pool.release(name)
        self.counters = dict.fromkeys(self.counters, 0)

    def close(self) -> None:
        """Stop; requests that are running fail."""
        self._manager.stop(block=True, hard_stop=True)

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
            ids = await asyncio.to_thread(self._prompt, chat, spans)
            budget = self._budget(chat, len(ids))
            cached = self._cached(ids)
            yield Piece("", len(ids), 0, cached_tokens=cached)
            stream = TextStream(self.processor.tokenizer, chat.stop)
            # What the scores say comes first, and the language model goes on from there.
            start = self._start(chat)
            fixed = self.processor.answer_ids(start)[:-1] if start else []
            begun = fixed[:budget]
            if begun and (start in WHOLE_ANSWERS or len(begun) == budget):
                text = stream.push(begun, last=True)
                whole = start in WHOLE_ANSWERS and len(begun) == len(fixed)
                reason: Literal["stop", "length"] = "stop" if whole or stream.stopped else "length"
                yield Piece(text, len(ids), len(begun), reason, cached)
                return
            answers = self._tokens([*ids, *begun], budget - len(begun), self._sampling(chat))
            async with aclosing(answers):
                async for written, done in answers:
                    tokens = [*begun, *written]
                    text = stream.push(tokens, last=done)
                    ending: Literal["stop", "length"] | None = None
                    if done or stream.stopped:
                        ending = "stop" if stream.stopped or tokens[-1] in self._ends else "length"
                    if text or ending:
                        yield Piece(text, len(ids), len(tokens), ending, cached)
                    if ending:
                        return

    def _start(self, chat: Chat) -> str | None:
        """How the answer has to begin, see :func:`favchat.model.grounding.start_of_answer`; of one video alone."""
        scores = self._scores.get(chat.videos[0], []) if len(chat.videos) == 1 else []
        if not scores:
            return None
        return starts_of([scores], [True], self.processor.attributes, [_text(chat.messages[-1])])[0]

    async def _tokens(
        self, ids: list[int], budget: int, sampling: Sampling | None
    ) -> AsyncGenerator[tuple[list[int], bool]]:
        """All tokens so far and whether they are all, each time there is one more."""
        outputs: asyncio.Queue[Any] = asyncio.Queue()
        request = uuid.uuid4().hex
        self._forget_leftovers()
        self._manager.register_result_handler(request, outputs.put_nowait)
        settings = {} if sampling is None else {"sampling": sampling}
        finished, count = False, 0
        self.counters["requests"] += 1
        self.counters["running"] += 1
        try:
            taken = self._manager.add_request(
                ids, request, max_new_tokens=budget, streaming=True, eos_token_id=list(self._ends), **settings
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
    async def _videos(self, keys: list[str]) -> AsyncIterator[list[range]]:
        """The ids of videos in use, in order."""
        held: list[str] = []
        try:
            spans = []
            for key in keys:
                # Read from disk in a thread and without the pool's lock, which the generation waits for.
                features = None if key in self.pool else await asyncio.to_thread(self._load, key)
                spans.append(self.pool.acquire(key, features))
                held.append(key)
            yield spans
        except PoolFullError:
            raise busy("Questions about too many different videos are being answered. Try again.") from None
        finally:
            for key in held:
                self.pool.release(key)

    def _load(self, key: str) -> tuple[Tensor, Tensor]:
        try:
            features = load_file(self.store.features(key))
        except FileNotFoundError:
            raise gone() from None
        if len(self._scores) >= 2 * self.config.max_videos:
            self._scores = {kept: scores for kept, scores in self._scores.items() if kept in self.pool}
        self._scores[key] = features["scores"].tolist()
        return features["tokens"], features["levels"]

    def _prompt(self, chat: Chat, spans: list[range]) -> list[int]:
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

    def _budget(self, chat: Chat, prompt_tokens: int) -> int:
        """Tokens that the answer may have."""
        longest = self.config.max_new_tokens
        if chat.max_tokens is not None and chat.max_tokens > longest:
            raise ApiError(400, f"max_tokens = {chat.max_tokens}: this server writes at most {longest}.", "max_tokens")
        room = self._limit - prompt_tokens
        wanted = chat.max_tokens or min(longest, max(room, 1))
        if wanted > room:
            raise ApiError(
                400,
                f"The chat has {prompt_tokens} tokens and asks for {wanted} more; the model's context holds "
                f"{self._limit}. Shorten the chat, send fewer videos or lower max_tokens.",
                "messages",
                "context_length_exceeded",
            )
        return wanted

    def _sampling(self, chat: Chat) -> Sampling | None:
        if chat.temperature == 0 or chat.top_p == 0:
            return None
        seed = secrets.randbits(31) if chat.seed is None else chat.seed
        return Sampling(chat.temperature, chat.top_p, seed)


def _text(message: dict[str, Any]) -> str:
    """The words of a message, without its videos."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


class EngineReplica:
    """The engine as a deployment."""

    def __init__(self, config: Config) -> None:
        from favchat.hub.load import load

        torch.set_num_threads(config.serve.threads or int(allowed_cpus()) or 1)
        model, processor = load(config.serve.model or "")
        # The encoders have a deployment of their own.
        del model.model.vision_model, model.model.face_model
        if config.serve.use_gpu:
            model = model.to("cuda")
        self.engine = Engine(model, processor, VideoStore.of(config), config.serve)
        # In a thread: Ray Serve may make this in one that runs an event loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self.engine.warm_up()).result()

    async def generate(self, chat: Chat) -> AsyncIterator[Piece]:
        """Answer a chat, see :meth:`Engine.generate`."""
        async for piece in self.engine.generate(chat):
            yield piece

    async def counters(self) -> dict[str, int]:
        """What this replica has done."""
        return dict(self.engine.counters)

    def check_health(self) -> None:
        """Let Ray Serve replace a replica whose generation thread has died."""
        self.engine.check()

    def __del__(self) -> None:
        if hasattr(self, "engine"):
            self.engine.close()
