"""Ask a trained model about a video file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from favchat.config import ConfigError
from favchat.io.files import expanded
from favchat.runtime.threads import available_threads

if TYPE_CHECKING:
    from favchat.model.scores import AttributeScore
    from favchat.video import ProcessedClip


def run(model: str | None, video: str, questions: Sequence[str], *, max_new_tokens: int = 128) -> list[str]:
    """Decode the video, find and follow its main face, and answer each question.

    Args:
        model: A name that :func:`favchat.hub.names.resolve_model` knows; None: the model that comes with the package.
        video: Any video file.
        questions: What to ask; each is answered by itself.
        max_new_tokens: Longest answer, in tokens.

    Returns:
        The answers; of a video without a face, that there is none.

    Raises:
        ConfigError: There is no such model, or no such file.
        VideoError: The file cannot be read as a video.
        AssetError: The detector, or a part of the package's own model, cannot be fetched.
    """
    from favchat.labels.everyday_templates import NO_FACE
    from favchat.model.generation import answer

    network, processor, clip, _ = _opened(model, video)
    if clip is None:
        return [NO_FACE] * len(questions)
    return answer(network, processor, [clip] * len(questions), questions, max_new_tokens=max_new_tokens)


def scores(model: str | None, video: str) -> list[AttributeScore]:
    """How likely each attribute is that the model was taught.

    Args:
        model: As for :func:`run`.
        video: Any video file.

    Returns:
        The scores in the model's order; none of a video without a face.

    Raises:
        ConfigError: As :func:`run`, or the model was taught no attributes.
        VideoError: As :func:`run`.
        AssetError: As :func:`run`.
    """
    from favchat.model.scores import Calibration, attribute_scores

    network, processor, clip, place = _opened(model, video)
    if not processor.attributes:
        raise ConfigError(f"{place}: this model was taught no attributes, so it has no scores; ask it in words")
    if clip is None:
        return []
    return attribute_scores(network, processor, [clip], Calibration.read(place))[0]


def lines(found: Sequence[AttributeScore]) -> list[str]:
    """Scores for a terminal: a line for each attribute, family by family, the surest first."""
    if not found:
        from favchat.labels.everyday_templates import NO_FACE

        return [NO_FACE]
    families: dict[str, list[AttributeScore]] = {}
    for one in found:
        families.setdefault(one.family, []).append(one)
    text = []
    for family, some in families.items():
        text.append(f"{family}:")
        for one in sorted(some, key=lambda one: -one.score):
            held_out = f"  (balanced accuracy {one.measured.balanced_accuracy:.2f})" if one.measured else ""
            text.append(f"  {one.name:20} {one.score:4.2f} {'#' * round(20 * one.score):20}{held_out}")
    return text


def _opened(model: str | None, video: str) -> tuple[Any, Any, ProcessedClip | None, str]:
    """The model, its processor, the clip (None: no face is to be seen) and where the model lies."""
    # Absolute: a name such as 12:30.mp4 would be taken for a protocol.
    video = os.path.abspath(expanded(video.removeprefix("file://")))
    if not Path(video).is_file():
        raise ConfigError(f"{video}: no such file")
    from favchat.hub.names import SHIPPED, resolve_model

    place = resolve_model(model or SHIPPED)  # a wrong name is told before torch takes its seconds to load
    import torch

    from favchat.hub.load import load
    from favchat.video import VideoError

    torch.set_num_threads(available_threads())
    network, processor = load(place)
    specification = processor.clip_specification
    try:
        clip = specification.read(video, specification.make_detector())[0]
    except VideoError as error:
        if not error.reason.startswith("no face found"):
            raise
        return network, processor, None, place
    return network, processor, clip, place
