"""The profile: every attribute of a face by family, as bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from ui.words import percent

Row = dict[str, Any]
ORDERS: dict[str, Callable[[Row], Any]] = {
    "Family": lambda row: 0,
    "Score": lambda row: -(row["score"] or 0.0),
    "Name": lambda row: row["label"].lower(),
    "How well it is told": lambda row: -(row["balanced_accuracy"] or 0.0),
}
"""How the attributes may be sorted; by family each stands below its family's name."""


def profile(scores: dict[str, Any], order: str = "Family", untaught: bool = False) -> str:
    """A table of the attributes.

    Args:
        scores: What ``POST /v1/videos/{id}/attributes`` answers.
        order: One of ``ORDERS``.
        untaught: Whether to list what the model was not taught, too.
    """
    rows = [row for row in scores["attributes"] if row["taught"] or untaught]
    rows.sort(key=ORDERS[order])
    if order == "Family":
        families = list(dict.fromkeys(row["family"] for row in rows))
        bodies = "".join(
            f'<tbody><tr><th colspan="4" scope="rowgroup">{escape(family.capitalize())}</th></tr>'
            f"{''.join(_line(row) for row in rows if row['family'] == family)}</tbody>"
            for family in families
        )
    else:
        bodies = f"<tbody>{''.join(_line(row) for row in rows)}</tbody>"
    errors: Sequence[float] = list(scores["calibration_error"].values())
    off = f" Probabilities are off by {percent(max(errors))} at most on held-out clips." if errors else ""
    return (
        '<div class="fc-scroll" tabindex="0" role="region" aria-label="Profile of the face">'
        '<table class="fc-profile"><thead><tr><th scope="col">Attribute</th>'
        '<th scope="col">Score</th><th scope="col">Probability</th><th scope="col">Told right</th></tr></thead>'
        f"{bodies}</table></div>"
        '<p class="fc-key">The score is how likely it is were it there in half of all clips; above the middle the '
        "model says yes. The probability counts how rare it is. Told right: of held-out clips of other people, 50 % "
        f"being chance.{off}</p>"
    )


def _line(row: Row) -> str:
    name = f'<th scope="row">{escape(row["label"])}</th>'
    if not row["taught"]:
        return f'<tr class="fc-grey">{name}<td colspan="3">not taught</td></tr>'
    if row["score"] is None:
        return f'<tr class="fc-grey">{name}<td colspan="3">no face</td></tr>'
    kind = "fc-yes" if row["present"] else "fc-no"
    return (
        f'<tr class="{kind}">{name}<td><span class="fc-meter"><i style="width:{row["score"]:.1%}"></i></span>'
        f"<span>{percent(row['score'])}</span></td><td>{percent(row['probability'])}</td>"
        f"<td>{percent(row['balanced_accuracy']) or 'not measured'}</td></tr>"
    )
