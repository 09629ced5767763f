"""Closed questions that a model's attribute scores answer by themselves, without the language model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.scoring.answer_parser import YES_NO
from favchat.labels.attributes import EMOTION
from favchat.model.answers_by_score import probability_of_yes
from favchat.model.closed_questions import asked_attribute

_PHRASES = tuple(emotion.phrase for emotion in EMOTION)
_NAMES = [emotion.name for emotion in EMOTION]


def taught_attributes(model: str) -> list[str]:
    """The attributes that a model was taught, from its ``config.json``.

    Args:
        model: A model directory or a hub name, as ``favchat.hub.names.resolve_model`` gives it.
    """
    file = Path(model) / "config.json"
    if file.is_file():
        return list(json.loads(file.read_text())["adapter_config"].get("attributes") or [])
    from favchat.model import FaVChatConfig

    return list(FaVChatConfig.from_pretrained(model).adapter_config.attributes)


def is_decided(item: EvalQuestion, taught: Sequence[str]) -> bool:
    """Whether the scores answer a question: yes or no about one taught attribute, or which of the eight emotions."""
    if item.options == _PHRASES:
        # A stretch of the clip has no scores of its own.
        return item.level != "time" and set(_NAMES) <= set(taught)
    asked = asked_attribute(item.question) if item.options == tuple(YES_NO) else None
    return asked is not None and asked[0] in taught


def option_probabilities(item: EvalQuestion, scores: Mapping[str, float]) -> list[float]:
    """How likely each option of such a question is.

    Args:
        item: The question.
        scores: Taught attribute -> score, see :class:`favchat.face_scores.values.AttributeScore`.

    Raises:
        ValueError: The scores do not answer it.
    """
    if item.options == _PHRASES:
        return [scores[name] for name in _NAMES]
    yes = probability_of_yes(item.question, scores)
    if yes is None:
        raise ValueError(f"the scores do not answer '{item.question}'")
    return [yes if option == YES_NO[0] else 1 - yes for option in item.options]
