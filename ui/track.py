"""The face track as a strip of pictures, drawn by the browser."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from html import escape
from typing import Any

LANDMARKS = ("eye on the left", "eye on the right", "nose", "mouth corner on the left", "mouth corner on the right")
"""The five landmarks in the API's order, as the picture shows them."""


def track_strip(video: dict[str, Any]) -> str:
    """The sampled frames in order of time, box and landmarks drawn on them, each above its aligned crop.

    Args:
        video: What ``GET /v1/videos/{id}`` answers.

    Returns:
        HTML that needs nothing from elsewhere; its looks are in ``page.css``.
    """
    track, size = video["track"], (video["width"], video["height"])
    columns = zip(
        track["timestamps"],
        track["frames"],
        track["crops"],
        track["boxes"],
        track["landmarks"],
        track["scores"],
        track["visible"],
        strict=True,
    )
    seen, total = sum(track["visible"]), len(track["visible"])
    notes = _damage(video["readable"]) + _people(video["people"])
    facts = f"{video['duration']:.1f} s · {size[0]} × {size[1]} · {video['fps']:.3g} frames/s"
    return (
        '<section class="fc-card"><header><h2>Face track</h2>'
        f"<p>face in {seen} of {total} sampled frames</p><p>{facts}</p></header>{notes}"
        '<div class="fc-strip" role="list" tabindex="0" aria-label="Sampled frames and aligned faces over time">'
        f"{''.join(_column(size, *column) for column in columns)}</div>"
        '<p class="fc-key"><span class="fc-key-box"></span>tracked face'
        '<span class="fc-key-dot"></span>landmarks<span class="fc-key-note">below: the aligned crop that the face '
        "encoder sees</span></p></section>"
    )


def _damage(readable: float) -> str:
    """Of a damaged file, how much is missing."""
    if readable >= 1:
        return ""
    share = min(round(readable * 100), 99)
    return f'<p class="fc-note">Only {share} % of the clip could be read. Answers are about that part.</p>'


def _people(people: dict[str, Any]) -> str:
    """Of several faces, how many there are and which one the page is about."""
    if people["found"] < 2:
        return ""
    followed = escape(str(people["description"]).capitalize())
    return (
        f'<p class="fc-note">{people["found"]:d} faces are seen at once. {followed}, in the yellow box, is followed '
        "and asked about.</p>"
    )


def overlay(size: tuple[int, int], box: Sequence[float], landmarks: Sequence[Sequence[float]]) -> str:
    """A box and five points as SVG elements.

    Args:
        size: Width and height of the picture's coordinates.
        box: x1 y1 x2 y2 as shares of width and height; what lies outside the picture is cut off.
        landmarks: 5 x y as shares of width and height.
    """
    width, height = size
    left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in box)
    radius = max((right - left) * width * 0.03, width * 0.008)
    points = "".join(
        f'<circle cx="{x * width:.1f}" cy="{y * height:.1f}" r="{radius:.1f}"><title>{name}</title></circle>'
        for name, (x, y) in zip(LANDMARKS, landmarks, strict=True)
    )
    return (
        f'<rect x="{left * width:.1f}" y="{top * height:.1f}" width="{(right - left) * width:.1f}" '
        f'height="{(bottom - top) * height:.1f}" rx="{width * 0.012:.1f}"/>{points}'
    )


def _column(
    size: tuple[int, int],
    seconds: float,
    frame: str,
    crop: str,
    box: Sequence[float],
    landmarks: Sequence[Sequence[float]],
    score: float,
    visible: bool,
) -> str:
    width, height = size
    state = f"face found, score {score:.2f}" if visible else "no face found"
    drawn = overlay(size, box, landmarks) if visible else ""
    return (
        f'<figure role="listitem" class="{"" if visible else "fc-lost"}" title="{escape(state)}">'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Frame at {seconds:.2f} s, {escape(state)}">'
        f'<image href="{_jpeg(frame)}" width="{width}" height="{height}" preserveAspectRatio="none"/>{drawn}</svg>'
        f'<img src="{_jpeg(crop)}" alt="Aligned face at {seconds:.2f} s">'
        f"<figcaption>{seconds:.2f} s{'' if visible else ' · no face'}</figcaption></figure>"
    )


def _jpeg(data: str) -> str:
    """A data address; what is no base64 could close the attribute it stands in."""
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the server sent a picture that is no base64") from None
    return f"data:image/jpeg;base64,{data}"
