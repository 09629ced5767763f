"""What the JSON files of a saved model say of it, read without torch and transformers, which take seconds to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from favchat.video.seen_frames import NUM_FRAMES
from favchat.video.specification import ClipSpecification


def saved_config(name: str) -> dict[str, Any]:
    """The values of a model's ``config.json``, nothing added.

    Args:
        name: A model directory or a hub name, as ``favchat.hub.names.resolve_model`` gives it.

    Raises:
        OSError: There is no such file, or the model hub does not give it.
        ValueError: It is not JSON.
    """
    return _read(name, "config.json")


def saved_clip_settings(name: str) -> tuple[ClipSpecification, int]:
    """How a video becomes a clip that a model sees, and how many of its frames, as the model's processor has them.

    Args:
        name: A model directory or a hub name, as ``favchat.hub.names.resolve_model`` gives it.

    Raises:
        OSError: There is no processor, or the model hub does not give it.
        ValueError: Its file is not JSON.
        ConfigError: It has a setting that this version does not know.
    """
    saved = _read(name, "processor_config.json")
    video = saved.get("video_processor") or saved  # version 0.1 kept these settings among the processor's own
    return ClipSpecification.from_dict(video.get("clip") or {}), video.get("num_frames", NUM_FRAMES)


def _read(name: str, file: str) -> dict[str, Any]:
    if Path(name).is_dir():
        path = Path(name, file)
    else:
        # Imported here: only hub names need it.
        from transformers.utils import cached_file

        path = Path(cached_file(name, file))
    return json.loads(path.read_text(encoding="utf-8"))
