"""The result card: what is plain in a clip's face, what is not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ui.library import Clip
from ui.words import colour, emotion, likeliest, listed, percent, told

SURE = 0.85
"""Score from which on an attribute counts as plainly there, and one minus it as plainly not."""
TRUSTED = 0.75
"""Balanced accuracy on held-out clips below which what the model says is not called plain."""
MOST_SURE, MOST_UNSURE = 12, 8
EMPTY = (
    '<section class="fc-card fc-result fc-empty"><header><h2>Result</h2></header>'
    "<p>The emotion, what is plain in the face and what is not, and why.</p></section>"
)
STEPS = {
    "waiting": "Waiting for its turn",
    "uploading": "Sending the clip",
    "reading": "Finding and following the face",
    "scoring": "Looking at the face",
}
"""What is said of a clip that is being read."""

Row = dict[str, Any]


def result_card(clip: Clip) -> str:
    """The card of a clip, whatever its state."""
    if clip.working:
        words = escape(clip.held) or f"{STEPS[clip.state]} …"
        body = f'<div role="status"><p>{words}</p><div class="fc-bar"></div></div>'
        return _card(clip.name, body)
    if clip.state != "ready" or clip.scores is None:
        title = {"no face": "No face to tell about", "cancelled": "Cancelled"}.get(clip.state, "Cannot be used")
        again = _button("retry", clip.id, "Try again")
        body = f'<div class="fc-alert" role="alert"><b>{title}.</b> {escape(clip.error)}</div><p>{again}</p>'
        return _card(clip.name, body)
    scores = clip.scores
    warnings = [str(one["message"]) for one in scores["face"]["warnings"]]
    people = clip.video["people"] if clip.video else {"found": 1}
    several = f"{people['found']:d} faces are seen at once. This is about {people.get('description')}."
    notes = [*([several] if people["found"] > 1 else []), *_damage(clip)]
    return _card(
        clip.name,
        _emotion(scores["emotion"] or {}) + _notes(notes) + judged(scores["attributes"], warnings),
    )


def judged(rows: Sequence[Row], warnings: Sequence[str]) -> str:
    """What is plain, what is not, and what the model was never taught."""
    sure, unsure = split(rows)
    plain = "".join(_chip(told(row), _why(row)) for row in sure[:MOST_SURE])
    open_ = "".join(_chip(f"{row['label']}?", _why(row)) for row in unsure[:MOST_UNSURE])
    reasons = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    untaught = [row["label"] for row in rows if not row["taught"]]
    parts = [f'<h3>Plain to see</h3><p class="fc-chips">{plain or "Nothing is."}</p>']
    if open_:
        parts.append(f'<h3>Not sure</h3><p class="fc-chips fc-doubt">{open_}</p>')
    if reasons:
        parts.append(f'<h3>What makes it hard</h3><ul class="fc-reasons">{reasons}</ul>')
    if untaught:
        parts.append(
            f'<p class="fc-untaught">Cannot tell, since it was not taught: {len(untaught)} things, '
            f"such as {escape(listed(untaught, 4))}</p>"
        )
    return "".join(parts)


def split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of what is plain, what is there before what is not, and of what is not plain, the nearest to half first.

    Emotions are left out. Absent attributes count as plain only where their absence has a word of its own: nobody
    wants to read of all hats that are not worn.
    """
    taught = [row for row in rows if row["taught"] and row["score"] is not None and row["family"] != "emotion"]
    sure = [row for row in taught if max(row["score"], 1 - row["score"]) >= SURE and _trusted(row)]
    worth = [row for row in sure if row["present"] or told(row) != f"not {row['label']}"]
    unsure = [row for row in taught if row not in sure and (row["present"] or row["score"] >= 0.3)]
    return worth, sorted(unsure, key=lambda row: abs(row["score"] - 0.5))


def _trusted(row: Row) -> bool:
    return row["balanced_accuracy"] is None or row["balanced_accuracy"] >= TRUSTED


def _why(row: Row) -> str:
    score = f"score {percent(row['score'])}"
    if row["balanced_accuracy"] is None:
        return score
    right = f"right in {percent(row['balanced_accuracy'])} of held-out clips"
    return f"{score}; {right}" + ("" if _trusted(row) else ", too seldom to rely on")


def _emotion(shares: dict[str, float]) -> str:
    if not shares:
        return '<p class="fc-untaught">Emotions: not taught.</p>'
    first, *rest = likeliest(shares)[:3]
    bars = "".join(
        f'<li><span>{escape(emotion(name))}</span><i class="fc-share"><i style="width:{share:.1%};'
        f'background:{colour(name)}"></i></i><b>{percent(share)}</b></li>'
        for name, share in (first, *rest)
    )
    doubt = " perhaps" if first[1] < 0.5 else ""
    return (
        f'<p class="fc-emotion"><i style="background:{colour(first[0])}"></i>Looks{doubt} '
        f'<b>{escape(emotion(first[0]))}</b> <span>{percent(first[1])}</span></p><ul class="fc-bars">{bars}</ul>'
    )


def _damage(clip: Clip) -> list[str]:
    if clip.video is None or clip.video["readable"] >= 1:
        return []
    share = min(round(clip.video["readable"] * 100), 99)
    return [f"Only {share} % of the clip could be read. Answers are about that part."]


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="fc-note">{escape(note)}</p>' for note in notes)


def _chip(text: str, title: str) -> str:
    return f'<span title="{escape(title)}">{escape(text)}</span>'


def _button(action: str, clip_id: str, text: str) -> str:
    return f'<button type="button" class="fc-button" data-do="{action}" data-id="{escape(clip_id)}">{text}</button>'


def _card(name: str, body: str) -> str:
    return (
        f'<section class="fc-card fc-result" aria-labelledby="fc-result-title"><header><h2 id="fc-result-title">Result'
        f"</h2><p>{escape(name)}</p></header>{body}</section>"
    )
