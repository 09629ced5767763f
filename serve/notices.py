"""What an answer says of its videos beside the text, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def no_video() -> dict[str, str]:
    """A chat that shows no video."""
    return {
        "code": "no_video",
        "message": "There is no video in this chat, so there is nobody to tell about. Send one in a video_url part.",
    }


def of_people(people: Mapping[str, Any], number: int) -> list[dict[str, str]]:
    """Of a video with several faces.

    Args:
        people: `found` and `followed`, see :func:`serve.people.count_people`.
        number: Which video of the chat it is, from 1.
    """
    if people["found"] < 2:
        return []
    message = f"Video {number} shows {people['found']} faces at once; the answer is about {which(people)}."
    return [{"code": "several_faces", "message": message}]


def which(people: Mapping[str, Any]) -> str:
    """The followed face in words."""
    found, followed = people["found"], people["followed"]
    if followed is None:
        return "the one in the track"
    if found == 2:
        return f"the one on the {'left' if followed == 1 else 'right'}"
    return f"number {followed} from the left"
