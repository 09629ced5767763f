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


def of_video(facts: Mapping[str, Any], number: int, face: int = 0) -> list[dict[str, str]]:
    """Of a video that is damaged or shows several faces.

    Args:
        facts: `people`, of each face what :func:`serve.people.count_people` says, and `readable`, the share of the
            video that could be read.
        number: Which video of the chat it is, from 1.
        face: Which face the answer is about.
    """
    people, notices = facts["people"][face], []
    if facts["readable"] < 1:
        message = f"Of video {number} only {percent(facts['readable'])} could be read; the answer is about that part."
        notices.append({"code": "partly_read", "message": message})
    if people["found"] > 1:
        message = f"Video {number} shows {people['found']} faces at once; the answer is about {which(people)}."
        notices.append({"code": "several_faces", "message": message})
    return notices


def percent(share: float) -> str:
    """A share below 1 in words, never rounded up to all of it."""
    return f"{min(round(share * 100), 99)} %"


def which(people: Mapping[str, Any]) -> str:
    """The followed face in words."""
    found, followed = people["found"], people["followed"]
    if followed is None:
        return "the one in the track"
    if found == 2:
        return f"the one on the {'left' if followed == 1 else 'right'}"
    return f"number {followed} from the left"
