"""The faces of a clip, of which one is chosen."""

from __future__ import annotations

from html import escape
from typing import Any

from ui.library import Clip
from ui.player import jpeg


def faces(clip: Clip) -> str:
    """A button a face, where there are several."""
    found = (clip.video or {}).get("faces", [])
    if len(found) < 2:
        return ""
    buttons = "".join(_button(clip, face, len(found)) for face in found)
    return (
        '<section class="fc-card fc-people" aria-labelledby="fc-people-title"><header>'
        f'<h2 id="fc-people-title">{len(found)} faces</h2><p>Choose whom the page is about.</p></header>'
        f'<div class="fc-people-row">{buttons}</div></section>'
    )


def where(face: dict[str, Any], count: int) -> str:
    """A face in words."""
    place = face["from_left"]
    if place is None:
        return f"face {face['index'] + 1}"
    if count == 2:
        return "left" if place == 1 else "right"
    return f"{place}. from the left"


def _button(clip: Clip, face: dict[str, Any], count: int) -> str:
    chosen = face["index"] == clip.face
    words = escape(where(face, count))
    return (
        f'<button type="button" data-do="face" data-id="{face["index"]}" aria-pressed="{str(chosen).lower()}">'
        f'<img src="{jpeg(face["thumbnail"])}" alt=""><span>{words}</span>'
        f"<small>in {face['share']:.0%} of the clip</small></button>"
    )
