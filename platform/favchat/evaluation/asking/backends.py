"""Backends that answer questions: a local checkpoint, or a server."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import av
import numpy as np

from favchat.config import EvaluationConfig
from favchat.data.annotate.endpoint_prompt import spread
from favchat.evaluation.asking.eval_question import EvalQuestion, answer_row
from favchat.io.paths import local_copy
from favchat.runtime.worker_threads import shared_threads
from favchat.video.images import as_jpeg, decode_images

if TYPE_CHECKING:
    from favchat.evaluation.asking.local_backend import LocalModel

CLIP_COLUMNS = [
    "clip_id",
    "video",
    "start",
    "end",
    "timestamps",
    "frames",
    "faces",
    "landmarks",
    "visible",
    "face_measures",
]
"""What an answerer needs of a shard's row."""


@dataclass
class Answered:
    """The answers to some questions, and the failures."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of ``items.ANSWER_SCHEMA``: the questions that are done."""
    failures: list[str] = field(default_factory=list)
    """Why others are not; a later run asks them again."""
    fault: str | None = None
    """Why no question can be asked."""


class Backend(Protocol):
    """Answers questions about clips."""

    def answer(self, clips: Sequence[dict[str, Any]], items: Sequence[Sequence[EvalQuestion]]) -> Answered:
        """Answer questions about clips.

        Args:
            clips: Rows with ``CLIP_COLUMNS`` and ``shard``, the path of their shard.
            items: The questions about each.
        """
        ...


def backend(settings: EvaluationConfig) -> Backend:
    """The backend that the settings select.

    Raises:
        ConfigError: There is no such model.
    """
    return CheckpointBackend(settings) if settings.model else ServerBackend(settings)


class CheckpointBackend:
    """A local checkpoint."""

    def __init__(self, settings: EvaluationConfig, model: LocalModel | None = None) -> None:
        """Load the model of the settings, or take one that is in memory."""
        import torch

        from favchat.evaluation.asking.cached_clips import CachedClips
        from favchat.evaluation.asking.local_backend import LocalModel

        if model is None:
            torch.set_num_threads(settings.threads or shared_threads(settings.workers))
            model = LocalModel(
                settings.model or "",
                device="cuda" if settings.use_gpu else "cpu",
                max_new_tokens=settings.max_new_tokens,
            )
        self.model = model
        self._cache = CachedClips(self.model.model.model, self.model.processor)
        self._hints = bool(settings.hints)

    def answer(self, clips: Sequence[dict[str, Any]], items: Sequence[Sequence[EvalQuestion]]) -> Answered:
        """See ``Backend``. Each clip is encoded once."""
        from favchat.training.batches.samples import read_clip

        frames = self.model.processor.num_frames
        visual = self.model.visual(self._cache.read(clips) or [read_clip(clip, frames) for clip in clips])
        done = Answered()
        closed = [[item for item in some if item.way == "likelihood"] for some in items]
        for some, found in zip(closed, self.model.likelihoods(visual, closed), strict=True):
            for item, scores in zip(some, found, strict=True):
                done.rows.append(
                    answer_row(item, log_likelihoods=scores.log_likelihoods, prior=scores.prior, tokens=scores.tokens)
                )
        free = [[item for item in some if item.way == "text"] for some in items]
        for some, texts in zip(free, self.model.texts(visual, free, self._hints), strict=True):
            done.rows += [answer_row(item, raw=text) for item, text in zip(some, texts, strict=True)]
        scored = [[item for item in some if item.way == "scores"] for some in items]
        for some, chances in zip(scored, self.model.by_scores(visual, scored), strict=True):
            for item, options in zip(some, chances, strict=True):
                logs = [math.log(max(chance, 1e-30)) for chance in options]
                done.rows.append(answer_row(item, log_likelihoods=logs))
        probed = [item for some in items for item in some if item.way == "features"]
        if probed:
            features = self.model.features(visual)
            done.rows += [
                answer_row(item, features=vector)
                for some, vector in zip(items, features, strict=True)
                for item in some
                if item.way == "features"
            ]
        return done


class ServerBackend:
    """A server that speaks the OpenAI chat API; the clips' frames, or the clips, are sent to it."""

    def __init__(self, settings: EvaluationConfig) -> None:
        from favchat.evaluation.asking.server_backend import ChatServer

        self._settings = settings.server
        self._hints = settings.hints is not False
        self._server = ChatServer(settings.server, "evaluation.server")

    def answer(self, clips: Sequence[dict[str, Any]], items: Sequence[Sequence[EvalQuestion]]) -> Answered:
        """See ``Backend``; many requests run concurrently."""
        from favchat.evaluation.asking.server_backend import NoReplyError, RefusedError, ServerFaultError

        done = Answered()
        with ThreadPoolExecutor(self._settings.concurrency) as threads:
            waiting = []
            for clip, some in zip(clips, items, strict=True):
                parts = self._media(clip)
                waiting += [(item, threads.submit(self._ask, item, parts)) for item in some]
            for item, reply in waiting:
                try:
                    done.rows.append(answer_row(item, raw=reply.result()))
                except RefusedError as error:
                    done.rows.append(answer_row(item, error=str(error)))
                except NoReplyError as error:
                    done.failures.append(str(error))
                except ServerFaultError as error:
                    done.fault = str(error)
                    threads.shutdown(cancel_futures=True)
                    break
        return done

    def _ask(self, item: EvalQuestion, media: list[dict[str, Any]]) -> str:
        from favchat.evaluation.asking.question_text import asked

        question = {"type": "text", "text": asked(item, self._hints)}
        return self._server.ask([{"role": "user", "content": [*media, question]}])

    def _media(self, clip: dict[str, Any]) -> list[dict[str, Any]]:
        if self._settings.media == "video":
            return [{"type": "video_url", "video_url": {"url": _data("video/mp4", video_file(clip))}}]
        places = spread(len(clip["frames"]), self._settings.frames)
        return [
            {"type": "image_url", "image_url": {"url": _data("image/jpeg", as_jpeg(clip["frames"][place]))}}
            for place in places
        ]


def video_file(clip: dict[str, Any]) -> bytes:
    """A clip as a video file: the original if the clip is all of it, else its sampled frames as an MP4.

    Args:
        clip: A row with ``CLIP_COLUMNS``.
    """
    if clip["start"] == 0 and clip["end"] is None and clip["video"].lower().endswith(".mp4"):
        with local_copy(clip["video"]) as path:
            return Path(path).read_bytes()
    times = np.asarray(clip["timestamps"])
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 1.0
    frames = decode_images(clip["frames"])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        # H.264 (4:2:0) needs even sides.
        stream.height, stream.width = (side // 2 * 2 for side in frames.shape[1:3])
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = np.ascontiguousarray(frame[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
