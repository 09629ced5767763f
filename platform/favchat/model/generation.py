"""Answers to questions about clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from favchat.labels.everyday_templates import NO_FACE
from favchat.model.answers_by_score import is_whole, start_of_answer
from favchat.model.modeling_favchat import FaVChatForConditionalGeneration
from favchat.model.processing_favchat import PIXELS, FaceClip, FaVChatProcessor


@torch.inference_mode()
def answer(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    clips: Sequence[FaceClip],
    questions: Sequence[str],
    *,
    max_new_tokens: int = 128,
) -> list[str]:
    """Answer one question about each clip, greedily, so that words and scores agree.

    A model that was taught attributes begins its answers as :func:`answer_starts` says.

    Args:
        model: The model, on any device.
        processor: Its processor.
        clips: B clips.
        questions: B questions.
        max_new_tokens: Longest answer, in tokens.

    Returns:
        B answers without special tokens.
    """
    videos = {name: tensor.to(model.device) for name, tensor in processor.video_inputs(clips).items()}
    encoded = model.model.encode_frames(*(videos.pop(name) for name in PIXELS))  # once, for scores and words
    videos |= encoded
    starts = answer_starts(model, processor, videos, questions)
    open_ones = [index for index, start in enumerate(starts) if not is_whole(start)]
    answers = [start or "" for start in starts]
    if open_ones:
        prompts = [processor.prompt(questions[index]) + answers[index] for index in open_ones]
        features = [{name: tensor[index].cpu() for name, tensor in videos.items()} for index in open_ones]
        asked = [questions[index] for index in open_ones]
        inputs = processor(text=prompts, videos=features, questions=asked).to(model.device)
        ids = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        written = processor.tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for index, text in zip(open_ones, written, strict=True):
            answers[index] = (answers[index] + text).strip()
    return answers


@torch.inference_mode()
def answer_starts(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    videos: Mapping[str, torch.Tensor],
    questions: Sequence[str],
) -> list[str | None]:
    """How the answers to B questions have to begin, see :func:`favchat.model.answers_by_score.start_of_answer`.

    Args:
        model: The model.
        processor: Its processor.
        videos: Features of B clips and where their faces are, on the model's device, for `get_video_features`.
        questions: B questions.

    Returns:
        For each the start, ``I see no face in this video.`` where none is visible, or None: no model without attributes
        says anything here.
    """
    head = model.model.adapter.attribute_head
    if head is None:
        return [None] * len(questions)
    asked = processor.question_inputs(questions, len(questions)) if processor.route_by_question else {}
    output = model.model.get_video_features(**videos, **{name: ids.to(model.device) for name, ids in asked.items()})
    return starts_of(
        head.scores_and_likely(output.attribute_logits).tolist(),
        videos["face_visible"].any(dim=1).tolist(),
        processor.attributes,
        questions,
    )


def starts_of(
    values: Sequence[Sequence[Sequence[float]]], visible: Sequence[bool], names: Sequence[str], questions: Sequence[str]
) -> list[str | None]:
    """As :func:`answer_starts`.

    Args:
        values: `(B, 2, A)`, see ``FaVChatAttributeHead.scores_and_likely``.
        visible: Of each clip whether its face is visible.
        names: A attributes.
        questions: B questions.
    """
    starts: list[str | None] = []
    for (scores, likely), seen, question in zip(values, visible, questions, strict=True):
        known = dict(zip(names, scores, strict=True)), dict(zip(names, likely, strict=True))
        starts.append(start_of_answer(question, *known) if seen else NO_FACE)
    return starts
