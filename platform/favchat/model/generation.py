"""Answers to questions about clips."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from favchat.model.modeling_favchat import FaVChatForConditionalGeneration
from favchat.model.processing_favchat import FaceClip, FaVChatProcessor

NO_FACE = "I see no face in this video."
"""What is said of a clip in which no face was found."""


@torch.inference_mode()
def answer(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    clips: Sequence[FaceClip],
    questions: Sequence[str],
    *,
    max_new_tokens: int = 128,
) -> list[str]:
    """Answer one question about each clip, greedily.

    Args:
        model: The model, on any device.
        processor: Its processor.
        clips: B clips.
        questions: B questions.
        max_new_tokens: Longest answer, in tokens.

    Returns:
        B answers without special tokens.
    """
    prompts = [processor.prompt(question) for question in questions]
    inputs = processor(prompts, clips, questions=questions).to(model.device)
    ids = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    new = ids[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in processor.tokenizer.batch_decode(new, skip_special_tokens=True)]
