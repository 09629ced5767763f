"""What transformers' `generate` has to know of videos."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin, LogitsProcessorList

VIDEO_TENSORS = (
    "pixel_values_videos",
    "pixel_values_faces",
    "vision_features",
    "face_features",
    "face_visible",
    "frame_times",
    "face_geometry",
    "face_motion",
    "question_ids",
    "question_mask",
)
"""Arguments of `forward` whose first dimension counts videos."""


class TextLogitsProcessors(LogitsProcessorList):
    """Logits processors that see the ids of a prompt's text alone: placeholders may lie beyond the vocabulary."""

    def __init__(self, processors: LogitsProcessorList, model: Any):
        super().__init__(processors)
        self.model = model

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        """As transformers does it."""
        return super().__call__(text_ids(self.model, input_ids), scores, **kwargs)


def text_ids(model: Any, input_ids: Tensor) -> Tensor:
    """Ids `(B, L)` with each placeholder as the first id of its row that is none, which is in the prompt anyway."""
    visual = model.model.is_visual(input_ids)
    first = input_ids.gather(1, (~visual).int().argmax(dim=1, keepdim=True))  # (B, 1)
    return torch.where(visual, first, input_ids)


class FaVChatGenerationMixin(GenerationMixin):
    """`generate` for a model whose `forward` takes videos."""

    def _get_logits_processor(self, *args: Any, encoder_input_ids: Tensor | None = None, **kwargs: Any) -> Any:
        if encoder_input_ids is not None and encoder_input_ids.ndim == 2 and encoder_input_ids.shape[1]:
            encoder_input_ids = text_ids(self, encoder_input_ids)
        processors = super()._get_logits_processor(*args, encoder_input_ids=encoder_input_ids, **kwargs)
        return TextLogitsProcessors(processors, self) if len(processors) else processors

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As transformers does it; once a cache holds the visual tokens, the videos are left out."""
        inputs = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in VIDEO_TENSORS:
                inputs.pop(name, None)
        elif inputs.get("inputs_embeds") is not None and any(inputs.get(name) is not None for name in VIDEO_TENSORS):
            inputs["input_ids"] = input_ids if input_ids.shape[1] else None  # where the videos' tokens go
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """Repeat each prompt for beams or several answers, and all its videos with it."""
        names = [name for name in VIDEO_TENSORS if model_kwargs.get(name) is not None]
        videos = {name: model_kwargs.pop(name) for name in names}
        if expand_size > 1 and videos and input_ids is not None:
            visual = self.model.is_visual(input_ids)
            count = len(videos["frame_times"])
            each = (visual.sum(dim=1) * count // visual.sum().clamp(min=1)).tolist()  # videos of each prompt
            if sum(each) == count:  # else forward says what is wrong
                order = torch.cat([part.repeat(expand_size) for part in torch.arange(count).split(each)])
                videos = {name: tensor[order.to(tensor.device)] for name, tensor in videos.items()}
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **model_kwargs
        )
        return input_ids, {**model_kwargs, **videos}
