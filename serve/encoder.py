"""The encoder: from a clip to visual tokens, face levels and expert usage.

Shapes: T frames that the model sees, G general and F face tokens a frame, A attributes, S = T (G + F) + 2 A, K face
levels, M expert layers, E experts, H language-model width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from favchat.config import Config
from favchat.face_scores.values import AttributeScore, Calibration
from favchat.hub.load import load
from favchat.model import FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.hidden_frames import hide_frames
from favchat.model.processing_favchat import PIXELS
from favchat.model.scores import scores_of
from favchat.model.video_scores import scores_of_clips
from favchat.runtime.threads import server_threads
from favchat.video.clip import ProcessedClip
from favchat.video.file_info import VideoInfo
from favchat.video.seen_frames import picked_frames
from serve.derived_files import gone
from serve.errors import ApiError
from serve.store import VideoStore
from serve.view import Part, View

HIDDEN_NAMES = ("tokens", "levels", "scores")
"""What is kept of a video with a frame hidden."""


class Encoder:
    """The encoders and the adapter of a model before a store.

    Args:
        model: The model; its language model is not needed.
        processor: Its processor.
        calibration: That of the model's directory.
        store: Where clips are read and what is made of them is written.
        batch: Windows that are scored at once.
    """

    def __init__(
        self,
        model: FaVChatForConditionalGeneration,
        processor: FaVChatProcessor,
        calibration: Calibration,
        store: VideoStore,
        batch: int,
    ) -> None:
        self.model, self.processor, self.calibration = model, processor, calibration
        self.store, self.batch = store, batch
        self.encoded = self.batches = 0

    def warm_up(self) -> None:
        """Encode nothing once, so that nobody waits for what a first video takes."""
        video_features(self.model, self.processor, [blank_clip(self.processor)])

    def encode(self, views: Sequence[View]) -> list[ApiError | None]:
        """Encode views of videos: of each what went wrong, which is nobody else's trouble."""
        faults: dict[View, ApiError] = {}
        clips = {}
        for view in dict.fromkeys(views):
            try:
                if not self.store.derived.features(view).exists():
                    clips[view] = self.store.derived.read_clip(view.key, view.face)
            except ApiError as error:
                faults[view] = error
        if clips:
            without = [view.without for view in clips]
            encoded = video_features(self.model, self.processor, [*clips.values()], self.calibration, without)
            for view, features in zip(clips, encoded, strict=True):
                try:
                    self.store.derived.write(self.store.derived.features(view), partial(save_file, features))
                    self.encoded += 1
                except ApiError as error:
                    faults[view] = error
            self.batches += 1
        return [faults.get(view) for view in views]

    def hide_frames(self, view: View) -> None:
        """Encode a view with one frame hidden after the other.

        Raises:
            ApiError: The video left the store.
        """
        clip = self.store.derived.read_clip(view.key, view.face)
        picked = picked_frames(len(clip.frames), self.processor.num_frames).tolist()  # (T,), the same one repeatedly
        distinct = list(dict.fromkeys(picked))  # where the clip has few
        hidden = [{place for place, one in enumerate(picked) if one == frame} for frame in distinct]
        rows: list[dict[str, Tensor]] = []
        if len(distinct) > 1:
            rows = without_frames(self.model, self.processor, clip, hidden, self.calibration, view.without)
        kept = {name: torch.stack([row[name] for row in rows]) for name in HIDDEN_NAMES} if rows else {}
        kept["frames"] = torch.tensor(distinct)
        self.store.derived.write(self.store.derived.hidden(view), partial(save_file, kept))

    def scores(self, view: View, clips: Sequence[ProcessedClip | None]) -> list[list[AttributeScore]]:
        """The scores of each clip, none of what is None, without the parts that the view does without.

        Args:
            view: A view that was encoded, whose clip is the first: its scores are those that the answers go by.
            clips: As many as one likes.

        Raises:
            ApiError: The video left the store.
        """
        if view.without:
            rest = self._scores_without(view.without, clips[1:])
        else:
            rest = scores_of_clips(self.model, self.processor, clips[1:], self.calibration, self.batch)
        return [self._encoded_scores(view), *rest]

    def _scores_without(
        self, parts: Sequence[Part], clips: Sequence[ProcessedClip | None]
    ) -> list[list[AttributeScore]]:
        found: list[list[AttributeScore]] = [[] for _ in clips]
        there = [(place, clip) for place, clip in enumerate(clips) if clip is not None]
        for first in range(0, len(there), self.batch):
            some = there[first : first + self.batch]
            encoded = video_features(
                self.model, self.processor, [clip for _, clip in some], self.calibration, [parts] * len(some)
            )
            for (place, _), features in zip(some, encoded, strict=True):
                found[place] = self._scores_of(features["logits"][None])
        return found

    def _encoded_scores(self, view: View) -> list[AttributeScore]:
        try:
            with safe_open(self.store.derived.features(view), framework="pt") as file:
                logits = file.get_tensor("logits")[None]
        except FileNotFoundError:
            raise gone() from None
        return self._scores_of(logits)

    def _scores_of(self, logits: Tensor) -> list[AttributeScore]:
        """The scores of one clip, from its `(1, A)` logits; none of a model without attributes."""
        head = self.model.model.adapter.attribute_head
        if head is None:
            return []
        return scores_of(logits, head.get_buffer("prior").cpu(), self.processor.attributes, self.calibration)[0]


def load_encoder(config: Config) -> Encoder:
    """The encoder of ``serve.model``."""
    torch.set_num_threads(server_threads(config.serve.threads))
    model, processor = load(config.serve.model or "")
    # The language model has a deployment of its own.
    del model.model.language_model, model.lm_head
    if config.serve.use_gpu:
        model = model.to("cuda")
    calibration = Calibration.read(config.serve.model or "")
    return Encoder(model, processor, calibration, VideoStore.of(config), config.serve.encoder_batch)


def removable(model: FaVChatForConditionalGeneration) -> tuple[Part, ...]:
    """The parts of a model that can be left out."""
    adapter = model.config.adapter_config
    levels: tuple[Part, ...] = ("level_injection",) if len(model.model.adapter.level_proj) else ()
    return (("face_encoder", *levels)) if adapter.face_grid else ()


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
    without: Sequence[Sequence[Part]] | None = None,
) -> list[dict[str, Tensor]]:
    """What the language model and the API need of each clip, its scores as they are calibrated.

    Args:
        model: The model; its language model is not needed.
        processor: Its processor.
        clips: The clips.
        calibration: That of the model's directory.
        without: Of each clip the parts to leave out: of the face encoder zeros are read instead of its features, so
            that the face's place and movement stay, which come from its landmarks; None: none.

    Returns:
        For each clip: `tokens` `(S, H)`; `levels` `(K, S, H)`, zero at all but face tokens; `logits` `(A,)` and
        `scores` `(2, A)` of the attributes, at equal frequency and at that of training; `usage` `(M, 2, T, E)`
        float32, the share of a frame's general and face tokens that each expert gets (they sum to top-k, to 0 of a
        stream without tokens); `times` `(T,)` float32 seconds.
    """
    inputs = {name: tensor.to(model.device) for name, tensor in processor.video_inputs(clips).items()}
    inputs |= model.model.encode_frames(*(inputs.pop(name) for name in PIXELS))
    return adapted(model, processor, inputs, calibration or Calibration(), without or [()] * len(clips))


@torch.inference_mode()
def without_frames(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    clip: ProcessedClip,
    hidden: Sequence[Collection[int]],
    calibration: Calibration | None = None,
    without: Sequence[Part] = (),
) -> list[dict[str, Tensor]]:
    """As :func:`video_features`, of one clip with each of several sets of frames hidden.

    Args:
        model: The model.
        processor: Its processor.
        clip: The clip.
        hidden: Sets of numbers of the T frames that the model sees, see
            :func:`favchat.model.hidden_frames.hide_frames`.
        calibration: That of the model's directory.
        without: Parts of the model to leave out.
    """
    inputs = {name: tensor.to(model.device) for name, tensor in processor.video_inputs([clip]).items()}
    inputs |= model.model.encode_frames(*(inputs.pop(name) for name in PIXELS))
    rows = hide_frames(inputs, hidden)
    return adapted(model, processor, rows, calibration or Calibration(), [without] * len(hidden))


def adapted(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    inputs: dict[str, Tensor],
    calibration: Calibration,
    without: Sequence[Sequence[Part]],
) -> list[dict[str, Tensor]]:
    """What the adapter makes of encoded videos, see :func:`video_features`; `inputs` as for `get_video_features`."""
    blind = torch.tensor(["face_encoder" in parts for parts in without], device=model.device)
    face = inputs["face_features"].masked_fill(blind[:, None, None, None], 0)
    output = model.model.get_video_features(**{**inputs, "face_features": face})
    videos, frames, per_frame, width = output.tokens.shape
    general = per_frame - processor.face_grid**2
    levels = output.tokens.new_zeros(videos, len(output.levels), frames, per_frame, width)
    for index, level in enumerate(output.levels):
        levels[:, index, :, general:] = level
    levels[[row for row, parts in enumerate(without) if parts]] = 0  # the levels are the face encoder's, too
    sequences = output.sequence()  # (V, S, H)
    head = model.model.adapter.attribute_head
    scores = output.attribute_logits[:, None].expand(-1, 2, -1)  # (V, 2, A)
    if head is not None:
        prior = head.get_buffer("prior").cpu()
        rows = scores_of(output.attribute_logits.cpu(), prior, processor.attributes, calibration)
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
