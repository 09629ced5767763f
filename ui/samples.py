"""Sample clips, each with a picture and what it shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

import av

WIDE = 160
"""Pixels of a picture's width."""
AT = 0.6
"""Which part of the clip the picture shows, 0 its begin."""


def samples(clips: Mapping[str, Path]) -> str:
    """Buttons that add sample clips.

    Args:
        clips: What each shows, and its file.
    """
    buttons = "".join(
        f'<button type="button" data-do="sample" data-id="{escape(words)}"><img src="{thumbnail(path)}" alt="">'
        f"<span>{escape(words)}</span></button>"
        for words, path in clips.items()
    )
    return f'<div class="fc-samples" role="group" aria-label="Sample clips">{buttons}</div>'


def thumbnail(path: Path) -> str:
    """A picture from within a clip, as a data address of a small JPEG.

    Raises:
        OSError: The file cannot be read.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        wanted = AT * float(container.duration or 0) / av.time_base
        image = None
        for frame in container.decode(stream):
            image = frame
            if frame.time is not None and frame.time >= wanted:
                break
        if image is None:
            raise OSError(f"{path}: no frame can be read")
        height = round(image.height * WIDE / image.width)
        target = io.BytesIO()
        image.to_image(width=WIDE, height=height).save(target, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode()}"
