"""The encoder deployment: from a clip to visual tokens, face levels and expert usage.

Shapes: T frames that the model sees, G general and F face tokens a frame, A attributes, S = T (G + F) + 2 A, K face
levels, M expert layers, E experts, H language-model width.
"""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np
import torch
from ray import serve as ray_serve
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from favchat.config import Config
from favchat.face_scores.values import AttributeScore, Calibration
from favchat.model import FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.scores import scores_of
from favchat.model.video_scores import scores_of_clips
from favchat.runtime.threads import allowed_cpus
from favchat.video.clip import ProcessedClip
from favchat.video.file_info import VideoInfo
from serve.errors import ApiError
from serve.store import VideoStore, gone


class EncoderReplica:
    """Encodes each video once, several in a batch; the result goes to the store."""

    def __init__(self, config: Config) -> None:
        from favchat.hub.load import load

        torch.set_num_threads(config.serve.threads or int(allowed_cpus()) or 1)
        self.model, self.processor = load(config.serve.model or "")
        # The language model has a deployment of its own.
        del self.model.model.language_model, self.model.lm_head
        if config.serve.use_gpu:
            self.model = self.model.to("cuda")
        self.calibration = Calibration.read(config.serve.model or "")
        self.store = VideoStore.of(config)
        self.config = config.serve
        self.encoded = self.batches = 0
        # Nobody waits for what a first video takes.
        video_features(self.model, self.processor, [blank_clip(self.processor)])
        self._batch.set_max_batch_size(config.serve.encoder_batch)  # type: ignore[attr-defined]  # serve.batch adds it

    async def encode(self, key: str) -> int:
        """See that the store holds the features of a video whose clip it holds.

        Returns:
            How many videos were encoded at once with it; 0 where it was encoded before.

        Raises:
            ApiError: The video left the store.
        """
        if await asyncio.to_thread(self.store.features(key).exists):
            return 0
        error, size = await self._batch(key)
        if error is not None:
            raise error
        return size

    async def taught(self) -> tuple[list[str], Calibration]:
        """The attributes that the model was taught, and what was measured of them on held-out clips."""
        return self.processor.attributes, self.calibration

    async def scores(self, key: str | None, clips: list[ProcessedClip | None]) -> list[list[AttributeScore]]:
        """The scores of each clip, none of what is None.

        Args:
            key: A video that was encoded, of which the first clip is the main face: the scores are those that the
                answers go by. None: the first clip is encoded, too.
            clips: As many as one likes.

        Raises:
            ApiError: The video left the store.
        """
        return await asyncio.to_thread(self._scores, key, clips)

    def _scores(self, key: str | None, clips: list[ProcessedClip | None]) -> list[list[AttributeScore]]:
        known = [] if key is None else [self._encoded_scores(key)]
        rest, batch = clips[len(known) :], self.config.encoder_batch
        return known + scores_of_clips(self.model, self.processor, rest, self.calibration, batch)

    def _encoded_scores(self, key: str) -> list[AttributeScore]:
        head = self.model.model.adapter.attribute_head
        if head is None:
            return []
        try:
            with safe_open(self.store.features(key), framework="pt") as file:
                logits = file.get_tensor("logits")[None]
        except FileNotFoundError:
            raise gone() from None
        return scores_of(logits, head.get_buffer("prior").cpu(), self.processor.attributes, self.calibration)[0]

    async def counters(self) -> dict[str, int]:
        """What this replica has done."""
        return {"encoded": self.encoded, "encoder_batches": self.batches}

    @ray_serve.batch(batch_wait_timeout_s=0.02)
    async def _batch(self, keys: list[str]) -> list[tuple[ApiError | None, int]]:
        return [(fault, len(keys)) for fault in await asyncio.to_thread(self._encode, keys)]

    def _encode(self, keys: list[str]) -> list[ApiError | None]:
        """Encode the clips of videos: of each what went wrong, which is nobody else's trouble."""
        faults: dict[str, ApiError] = {}
        clips = {}
        for key in dict.fromkeys(keys):
            try:
                if not self.store.features(key).exists():
                    clips[key] = self.store.read_clip(key)
            except ApiError as error:
                faults[key] = error
        if clips:
            for key, features in zip(
                clips, video_features(self.model, self.processor, [*clips.values()], self.calibration), strict=True
            ):
                try:
                    self.store.write(self.store.features(key), partial(save_file, features))
                    self.encoded += 1
                except ApiError as error:
                    faults[key] = error
            self.batches += 1
        return [faults.get(key) for key in keys]


def blank_clip(processor: FaVChatProcessor) -> ProcessedClip:
    """A clip that shows nothing, sized as the others."""
    read, frames = processor.clip_specification, processor.num_frames
    side, face = read.frame_side, read.face_size
    return ProcessedClip(
        frames=np.zeros((frames, side, side, 3), np.uint8),
        faces=np.zeros((frames, face, face, 3), np.uint8),
        timestamps=np.arange(frames) / read.fps,
        boxes=np.zeros((frames, 4), np.float32),
        landmarks=np.zeros((frames, 5, 2), np.float32),
        scores=np.zeros(frames, np.float32),
        visible=np.zeros(frames, np.bool_),
        info=VideoInfo(side, side, read.fps, frames / read.fps, frames, 0, "none", "images"),
    )


@torch.inference_mode()
def video_features(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    clips: list[ProcessedClip],
    calibration: Calibration | None = None,
) -> list[dict[str, Tensor]]:
    """What the language model and the API need of each clip, its scores as they are calibrated.

    Returns:
        For each clip: `tokens` `(S, H)`; `levels` `(K, S, H)`, zero at all but face tokens; `logits` `(A,)` and
        `scores` `(2, A)` of the attributes, at equal frequency and at that of training; `usage` `(M, 2, T, E)`
        float32, the share of a frame's general and face tokens that each expert gets (they sum to top-k, to 0 of a
        stream without tokens); `times` `(T,)` float32 seconds.
    """
    inputs = {name: tensor.to(model.device) for name, tensor in processor.video_inputs(clips).items()}
    output = model.model.get_video_features(**inputs)
    videos, frames, per_frame, width = output.tokens.shape
    general = per_frame - processor.face_grid**2
    levels = output.tokens.new_zeros(videos, len(output.levels), frames, per_frame, width)
    for index, level in enumerate(output.levels):
        levels[:, index, :, general:] = level
    sequences = output.sequence()  # (V, S, H)
    head = model.model.adapter.attribute_head
    scores = output.attribute_logits[:, None].expand(-1, 2, -1)  # (V, 2, A)
    if head is not None:
        prior, known = head.get_buffer("prior").cpu(), calibration or Calibration()
        rows = scores_of(output.attribute_logits.cpu(), prior, processor.attributes, known)
        scores = torch.tensor([[[one.score for one in row], [one.probability for one in row]] for row in rows])
    attributes = levels.new_zeros(videos, len(output.levels), output.attribute_tokens.shape[1], width)
    top_k = model.config.adapter_config.num_experts_per_tok
    usage = []
    for logits in output.router_logits:  # (V T (G + F), E)
        chosen = torch.zeros_like(logits, dtype=torch.float32).scatter(1, logits.topk(top_k, dim=1).indices, 1.0)
        by_frame = chosen.view(videos, frames, per_frame, -1)
        streams = by_frame.split([general, per_frame - general], dim=2)  # no face tokens without a face encoder
        usage.append(torch.stack([part.sum(2) / max(part.shape[2], 1) for part in streams], dim=1))
    shares = torch.stack(usage, dim=1)  # (V, M, 2, T, E)
    return [
        {
            "tokens": sequences[video].cpu().contiguous(),
            "levels": torch.cat([levels[video].flatten(1, 2), attributes[video]], dim=1).cpu().contiguous(),
            "logits": output.attribute_logits[video].cpu().contiguous(),
            "scores": scores[video].cpu().contiguous(),
            "usage": shares[video].cpu().contiguous(),
            "times": inputs["frame_times"][video].cpu().contiguous(),
        }
        for video in range(videos)
    ]
