"""The reader's clips as a table that fills while they are read."""

from __future__ import annotations

from html import escape
from typing import Any

from ui.library import Clip, Library
from ui.player import jpeg
from ui.result_card import STEPS, split
from ui.words import colour, emotion, likeliest, listed, percent, seconds, told


def clip_table(library: Library) -> str:
    """A row a clip: picture, name, length, emotion, what is plain, quality, state, and what can be done with it."""
    clips = list(library.clips.values())
    if not clips:
        return ""
    done = sum(not clip.working for clip in clips)
    rows = "".join(_row(clip, clip.id == library.chosen) for clip in clips)
    heads = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Clip", "Length", "Emotion", "Plain to see", "Quality", "State", "Actions")
    )
    progress = f"{done} of {len(clips)} read" if done < len(clips) else f"{len(clips)} read"
    return (
        '<section class="fc-card fc-clips" aria-labelledby="fc-clips-title"><header>'
        f'<h2 id="fc-clips-title">Your clips</h2><p role="status">{progress}</p></header>'
        '<div class="fc-scroll" tabindex="0" role="region" aria-label="Table of your clips">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def facts(clip: Clip) -> dict[str, Any]:
    """What the table tells of a clip, in plain values, for files too."""
    shares = (clip.scores or {}).get("emotion") or {}
    first = likeliest(shares)[0] if shares else (None, None)
    sure = split(clip.scores["attributes"])[0] if clip.scores and shares else []
    face = clip.scores["face"] if clip.scores else {}
    return {
        "name": clip.name,
        "state": clip.state,
        "error": clip.error,
        "seconds": clip.video["duration"] if clip.video else None,
        "emotion": first[0],
        "emotion_probability": first[1],
        "plain": [told(row) for row in sure],
        "warnings": [one["code"] for one in face.get("warnings", [])],
        "face_size_px": face.get("size_px"),
        "sharpness": face.get("sharpness"),
    }


def _row(clip: Clip, chosen: bool) -> str:
    told_of = facts(clip)
    name, share = told_of["emotion"], told_of["emotion_probability"]
    shown = (
        f'<i class="fc-dot" style="background:{colour(name)}"></i>{escape(emotion(name))} {percent(share)}'
        if name
        else ""
    )
    warnings = [str(one["message"]) for one in (clip.scores or {}).get("face", {}).get("warnings", [])]
    quality = "" if clip.scores is None else escape("; ".join(warnings)) or "good"
    length = seconds(told_of["seconds"]) if told_of["seconds"] is not None else ""
    state = f"{STEPS.get(clip.state, clip.state.capitalize())}{' …' if clip.working else ''}"
    picture = _picture(clip)
    current = ' aria-current="true"' if chosen else ""
    return (
        f'<tr class="fc-{"chosen" if chosen else "other"}"><th scope="row"><button type="button" data-do="open" '
        f'data-id="{clip.id}"{current}>{picture}<span>{escape(clip.name)}</span></button></th>'
        f"<td>{length}</td><td>{shown}</td><td>{escape(listed(told_of['plain']))}</td><td>{quality}</td>"
        f'<td class="fc-state-{clip.state.replace(" ", "-")}" title="{escape(clip.error or clip.held)}">{state}</td>'
        f"<td>{_actions(clip)}</td></tr>"
    )


def _picture(clip: Clip) -> str:
    if clip.video is None:
        return '<i class="fc-thumb"></i>'
    track = clip.video["track"]
    seen = next((index for index, there in enumerate(track["visible"]) if there), 0)
    return f'<img class="fc-thumb" src="{jpeg(track["crops"][seen])}" alt="">' if track["crops"] else ""


def _actions(clip: Clip) -> str:
    offered = [("cancel", "Cancel")] if clip.working else [("remove", "Remove")]
    if clip.state in ("failed", "cancelled", "no face"):
        offered.insert(0, ("retry", "Retry"))
    return "".join(
        f'<button type="button" class="fc-button" data-do="{action}" data-id="{clip.id}" '
        f'aria-label="{word} {escape(clip.name)}">{word}</button>'
        for action, word in offered
    )
