"""Files that a reader takes away: the profile, the time lines, the table, the conversation."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from ui.clip_table import facts
from ui.library import Clip, Library
from ui.timeline_figure import timeline_png
from ui.words import POSE

File = dict[str, str]
"""``name``, ``type`` and, as base64, ``data``: what ``fcSave`` of ``page.js`` takes."""
PROFILE = ("name", "family", "label", "taught", "present", "probability", "score", "balanced_accuracy")
DRAWN: tuple[str, ...] = (*POSE, "motion")


class NothingToExport(ValueError):
    """There is nothing yet; the message says what is missing."""


def profile_csv(clip: Clip, library: Library) -> bytes:
    """A row an attribute."""
    return _csv(PROFILE, [[row[name] for name in PROFILE] for row in _scores(clip)["attributes"]])


def profile_json(clip: Clip, library: Library) -> bytes:
    """All that the server tells of the face in numbers."""
    return _json({"clip": clip.name, **_scores(clip)})


def timeline_csv(clip: Clip, library: Library) -> bytes:
    """A row a value: of each window its emotions and attributes, of each moment pose and motion."""
    rows: list[list[Any]] = []
    for window in _scores(clip)["over_time"]["windows"]:
        for kind in ("emotion", "attributes", "scores"):
            for name, value in (window[kind] or {}).items():
                rows.append([window["start"], window["end"], kind, name, value])
    track = _scores(clip)["track"] or {"times": []}
    for index, time in enumerate(track["times"]):
        rows += [[time, time, "face", name, track[name][index]] for name in DRAWN]
    return _csv(("start", "end", "kind", "name", "value"), rows)


def timeline_json(clip: Clip, library: Library) -> bytes:
    """The windows and the face's track."""
    scores = _scores(clip)
    return _json({"clip": clip.name, "over_time": scores["over_time"], "track": scores["track"]})


def timeline_picture(clip: Clip, library: Library) -> bytes:
    """The time line as a PNG for a paper or a slide."""
    scores, video = _scores(clip), clip.video or {"duration": 0.0}
    return timeline_png(clip.name, scores, max(float(video["duration"]), 0.01))


def table_csv(clip: Clip, library: Library) -> bytes:
    """A row a clip."""
    rows = [facts(one) for one in library.clips.values()]
    return _csv(list(rows[0]), [["; ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows])


def table_json(clip: Clip, library: Library) -> bytes:
    """The clips, each with all that is known of its face."""
    return _json([{**facts(one), "scores": one.scores, "turns": one.turns} for one in library.clips.values()])


def conversation_markdown(clip: Clip, library: Library) -> bytes:
    """What was asked and said."""
    if not clip.turns:
        raise NothingToExport("Nothing has been asked about this clip yet.")
    speakers = {"user": "You", "assistant": "FaVChat"}
    said = [f"**{speakers[turn['role']]}:** {turn['content'].strip()}" for turn in clip.turns]
    return ("\n\n".join([f"# {clip.name}", *said]) + "\n").encode()


EXPORTS: dict[str, tuple[str, str, Callable[[Clip, Library], bytes]]] = {
    "Profile, CSV": ("profile.csv", "text/csv", profile_csv),
    "Profile, JSON": ("profile.json", "application/json", profile_json),
    "Time line, CSV": ("timeline.csv", "text/csv", timeline_csv),
    "Time line, JSON": ("timeline.json", "application/json", timeline_json),
    "Time line, PNG": ("timeline.png", "image/png", timeline_picture),
    "All clips, CSV": ("clips.csv", "text/csv", table_csv),
    "All clips, JSON": ("clips.json", "application/json", table_json),
    "Conversation, Markdown": ("conversation.md", "text/markdown", conversation_markdown),
}
"""By what the page calls it: the end of the file's name, its type, and what makes it."""


def export(kind: str, library: Library) -> File:
    """A file of the open clip, or of all clips.

    Raises:
        NothingToExport: The clip was not read, or nothing was asked.
    """
    clip = library.open_clip
    if clip is None:
        raise NothingToExport("Choose a clip first.")
    end, media_type, make = EXPORTS[kind]
    stem = re.sub(r"[^\w.-]+", "_", clip.name.rsplit(".", 1)[0]) or "clip"
    name = end if kind.startswith("All clips") else f"{stem}-{end}"
    return {"name": name, "type": media_type, "data": base64.b64encode(make(clip, library)).decode()}


def _scores(clip: Clip) -> dict[str, Any]:
    if clip.scores is None:
        raise NothingToExport(f"{clip.name} has not been read ({clip.state}).")
    return clip.scores


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    target = io.StringIO()
    table = csv.writer(target, lineterminator="\n")
    table.writerow(head)
    table.writerows(rows)
    return target.getvalue().encode()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
