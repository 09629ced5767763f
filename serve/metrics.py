"""What Prometheus is told at ``/metrics``, all of it counted in the API's process, which every request passes."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from serve.chat import Piece
from serve.request_record import current

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)
TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The application's counters, gauges and histograms.

    Args:
        ready: Whether the application is ready, asked when the metrics are.
    """

    def __init__(self, ready: Callable[[], bool]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter("requests", "Requests by route and status.", "method", "endpoint", "status")
        self.seconds = self._histogram("request_seconds", "Seconds from a request to its end.", "endpoint")
        self.under_way = self._gauge("requests_under_way", "Requests under way.")
        self.refused = self._counter("refused", "Requests that were answered with an error, by its code.", "reason")
        self.running = self._gauge("answers_running", "Answers that are being written.", "model")
        self.at_once: Counts[str] = Counts()
        self.waiting = self._gauge("answers_waiting", "Answers that wait for a place in the engine.", "model")
        self.waited = self._histogram("queue_seconds", "Seconds that an answer waited for a place in the engine.")
        self.first_token = self._histogram(
            "first_token_seconds", "Seconds from the engine's place to the first token.", "model"
        )
        self.token = self._histogram(
            "token_seconds", "Seconds from a token to the next.", "model", buckets=TOKEN_SECONDS
        )
        self.batch = self._histogram(
            "batch_size", "Answers that were being written at once, seen at each token.", "model", buckets=SIZES
        )
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts.", "model")
        self.cached_tokens = self._counter("cached_prompt_tokens", "Of those, found in the engine's cache.", "model")
        self.tokens = self._counter("generated_tokens", "Tokens of answers.", "model")
        self.clips = self._counter(
            "clips", "Videos that were asked about; found is yes where none was encoded.", "found"
        )
        self.step = self._histogram("step_seconds", "Seconds of a step of a video, its wait included.", "step")
        self.encoder_batch = self._histogram("encoder_batch_size", "Videos encoded at once.", buckets=SIZES)
        self._gauge("ready", "Whether all parts are up and the server does not end.").set_function(
            lambda: float(ready())
        )

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure a step of a video; one that fails is not measured."""
        began = time.monotonic()
        yield
        self.step.labels(step).observe(time.monotonic() - began)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"favchat_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"favchat_{name}", meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = REQUEST_SECONDS
    ) -> Histogram:
        return Histogram(f"favchat_{name}", meaning, labels, registry=self.registry, buckets=buckets)


class Writing:
    """One answer as it is written: what it adds to the metrics and to its request's log line.

    Args:
        metrics: The application's.
        model: Name of the model that writes it.
    """

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics, self._model, self._record = metrics, model, current()
        self._began = self._last = time.monotonic()
        self._pieces: dict[int, Piece] = {}
        self._count(1)

    def see(self, piece: Piece) -> None:
        """A piece came."""
        metrics, model, now = self._metrics, self._model, time.monotonic()
        first = not any(one.completion_tokens for one in self._pieces.values())
        before = self._pieces.get(piece.index, Piece("", 0, 0))
        new = piece.completion_tokens - before.completion_tokens
        if new and first:
            metrics.first_token.labels(model).observe(now - self._began)
            self._record.facts.setdefault("first_token_ms", round(1e3 * (now - self._record.began), 1))
        elif new:
            metrics.token.labels(model).observe((now - self._last) / new)
        if new:
            metrics.batch.labels(model).observe(metrics.at_once[model])
            metrics.tokens.labels(model).inc(new)
            self._last = now
        elif not self._pieces:
            metrics.prompt_tokens.labels(model).inc(piece.prompt_tokens)
            metrics.cached_tokens.labels(model).inc(piece.cached_tokens)
        self._pieces[piece.index] = piece

    def close(self) -> None:
        """The answer is written, or given up."""
        self._count(-1)
        pieces = [*self._pieces.values()] or [Piece("", 0, 0)]
        written = sum(piece.completion_tokens for piece in pieces)
        piece, record = replace(pieces[0], completion_tokens=written), self._record
        record.tokens += piece.prompt_tokens + written
        facts = record.facts
        facts["model"] = self._model
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
            facts[name] = facts.get(name, 0) + getattr(piece, name)

    def _count(self, change: int) -> None:
        at_once = self._metrics.at_once
        at_once[self._model] += change
        self._metrics.running.labels(self._model).set(at_once[self._model])
