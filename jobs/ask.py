"""Ask a trained model about a video file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from favchat.config import ConfigError
from favchat.files import expanded
from favchat.threads import available_threads


def run(model: str | None, video: str, questions: Sequence[str], *, max_new_tokens: int = 128) -> list[str]:
    """Decode the video, find and follow its main face, and answer each question.

    Args:
        model: A name that :func:`favchat.model_names.resolve_model` knows; None: the model that comes with the package.
        video: Any video file.
        questions: What to ask; each is answered by itself.
        max_new_tokens: Longest answer, in tokens.

    Raises:
        ConfigError: There is no such model.
        VideoError: The file cannot be read as a video, or shows no face.
        AssetError: The detector, or a part of the package's own model, cannot be fetched.
    """
    # Absolute: a name such as 12:30.mp4 would be taken for a protocol.
    video = os.path.abspath(expanded(video.removeprefix("file://")))
    if not Path(video).is_file():
        raise ConfigError(f"{video}: no such file")
    from favchat.model_names import EMBEDDED, resolve_model

    place = resolve_model(model or EMBEDDED)  # a wrong name is told before torch takes its seconds to load
    import torch

    from favchat.model.build import load
    from favchat.model.generation import answer

    torch.set_num_threads(available_threads())
    network, processor = load(place)
    specification = processor.clip_specification
    clip = specification.read(video, specification.make_detector())[0]
    return answer(network, processor, [clip] * len(questions), questions, max_new_tokens=max_new_tokens)
