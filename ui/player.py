"""The player: the clip, and the face drawn on it while it plays."""

from __future__ import annotations

import base64
import binascii
import json
from html import escape
from typing import Any

EMPTY = (
    '<section class="fc-stage fc-nothing" aria-label="Player"><p><b>Add a clip to begin</b></p>'
    "<p>Drop videos above, take a sample, or record one. The face in it is found, followed, and told about.</p>"
    "</section>"
)


def player(address: str, name: str) -> str:
    """The player of a clip; ``page.js`` draws the face that the time line's ``data-track`` follows.

    Args:
        address: Where the browser finds the file.
        name: The clip's name.
    """
    return (
        f'<section class="fc-stage" aria-label="Player"><div class="fc-picture">'
        f'<video src="{escape(address)}" controls loop muted playsinline preload="auto" '
        f'aria-label="{escape(name)}"></video>'
        '<svg class="fc-overlay" preserveAspectRatio="none" aria-hidden="true"></svg></div></section>'
    )


def waiting(name: str) -> str:
    """What stands in the player's place until the browser has a file that it plays."""
    return (
        f'<section class="fc-stage fc-nothing" aria-label="Player"><p><b>{escape(name)}</b></p>'
        '<p>Getting the picture …</p><div class="fc-bar"></div></section>'
    )


def track_data(video: dict[str, Any] | None) -> str:
    """The faces over time as JSON for an attribute of HTML: times, boxes and landmarks, null where one is not seen."""
    track: dict[str, Any] = {
        "width": 16,
        "height": 9,
        "duration": 0.0,
        "times": [],
        "boxes": [],
        "points": [],
        "others": [],
    }
    if video is not None:
        found = video["track"]
        track |= {name: video[name] for name in ("width", "height", "duration")}
        track["times"] = found["timestamps"]
        for name, source in (("boxes", "boxes"), ("points", "landmarks")):
            track[name] = [value if seen else None for value, seen in zip(found[source], found["visible"], strict=True)]
        others = [face for face in video.get("faces", []) if face["index"] != video.get("face", 0)]
        track["others"] = [{"face": one["index"], "boxes": one["boxes"]} for one in others]
    return escape(json.dumps(track, separators=(",", ":")))


def jpeg(data: str) -> str:
    """A data address; what is no base64 could close the attribute it stands in.

    Raises:
        ValueError: It is none.
    """
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the server sent a picture that is no base64") from None
    return f"data:image/jpeg;base64,{data}"
