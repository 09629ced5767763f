"""Report on the annotations: counts, balance, contradictions and scores, for a terminal and as HTML."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from html import escape
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from upath import UPath

from favchat.data.annotate.pipeline import AnnotateResult
from favchat.data.corpus.schema import SCORES, SHARDS
from favchat.data.report.contact_sheet import face_strips
from favchat.data.report.corpus_summary import NamedTable, show_tables
from favchat.data.report.html_page import cells, html, image, table_blocks
from favchat.io.files import write_text_whole
from favchat.video.images import encode_images

PAGE = "annotations.html"
_SAMPLES = 10
_SHARES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class AnnotationReport:
    """Statistics of the rows that a run of ``annotate`` wrote."""

    page: UPath
    rows: list[dict[str, Any]]
    """The annotations, without their texts."""
    clips: int
    rejects: dict[str, int]
    """Stage -> clips that the writer failed on."""

    @property
    def contradictions(self) -> int:
        """Rows that contradict a label."""
        return sum(bool(row["contradictions"]) for row in self.rows)

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged to the tracking store."""
        total = max(1, len(self.rows))
        return {
            "clips": self.clips,
            "rows": len(self.rows),
            "selected": sum(row["selected"] for row in self.rows),
            "duplicates": sum(row["duplicate"] for row in self.rows),
            "contradiction_rate": self.contradictions / total,
            "rejected": sum(self.rejects.values()),
        }

    def show(self, console: Console | None = None) -> None:
        """Show the counts as tables."""
        show_tables(self.tables(), console)

    def tables(self) -> list[NamedTable]:
        """Title, headings and lines of each table."""
        rows = self.rows
        selected = [row for row in rows if row["selected"]]
        wrong = Counter(name for row in rows for name in row["contradictions"])
        reasons = Counter(_left_out(row) for row in rows)
        rate = self.contradictions / max(1, len(rows))
        return [
            (
                f"{len(rows):,} rows of {len({row['clip_id'] for row in rows}):,} clips, {len(selected):,} selected",
                ["task", "split", "rows", "selected"],
                [
                    [task, split, f"{count:,}", f"{sum((r['task'], r['split']) == (task, split) for r in selected):,}"]
                    for (task, split), count in sorted(Counter((r["task"], r["split"]) for r in rows).items())
                ],
            ),
            (
                "questions by family, and how those are answered that are answered yes or no",
                ["family", "rows", "yes", "no", "yes %", "selected", "yes", "no"],
                _families([row for row in rows if row["task"] == "qa"]),
            ),
            ("answer types", ["type", "rows", "selected"], _counts(rows, "answer_type")),
            ("levels", ["level", "rows", "selected"], _counts(rows, "level")),
            (
                f"contradictions: {rate:.2%} of the rows",
                ["", "rows"],
                [
                    ["checked against the labels", f"{len(rows):,}"],
                    ["contradict a label", f"{self.contradictions:,}"],
                    *[[f"  {name}", f"{count:,}"] for name, count in wrong.most_common(10)],
                ],
            ),
            (
                "hard negatives, of the questions answered no",
                ["", "rows", "selected"],
                [_negatives(rows, "hard", True), _negatives(rows, "other", False)],
            ),
            (
                "what becomes of the rows",
                ["", "rows"],
                [[name, f"{count:,}"] for name, count in sorted(reasons.items())],
            ),
            (
                "scores",
                ["score", "5 %", "median", "95 %", "median of the selected"],
                [_quantiles(name, rows, selected) for name in SCORES] if rows else [],
            ),
            (
                "rejects",
                ["stage", "clips"],
                [[stage, f"{count:,}"] for stage, count in sorted(self.rejects.items())],
            ),
        ]


def write_annotation_report(result: AnnotateResult, out: UPath, *, seed: int = 0) -> AnnotationReport:
    """Write ``annotations.html``: the counts, and all rows of ten random clips beside their faces.

    Args:
        result: What ``annotate`` returned.
        out: The corpus (``data.out``).
        seed: Selects the clips.

    Raises:
        OSError: The page cannot be written.
    """
    plain = [name for name in result.rows.column_names if name not in ("question", "answer", "attributes")]
    stages = result.rejects["stage"].to_pylist() if result.rejects is not None else []
    report = AnnotationReport(out / PAGE, result.rows.select(plain).to_pylist(), result.clips, dict(Counter(stages)))
    body = f'<div class="side">{table_blocks(report.tables())}</div>{_samples(result.rows, out / SHARDS, seed)}'
    write_text_whole(report.page, html("Annotations", str(result.path), body))
    return report


def _samples(rows: pa.Table, shards: UPath, seed: int) -> str:
    by_clip: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_clip[row["clip_id"]].append(row)
    sampled_clips = Random(seed).sample(sorted(by_clip), min(_SAMPLES, len(by_clip)))
    strips = face_strips(shards, sampled_clips)
    blocks = []
    for clip_id in sampled_clips:
        picture = ""
        if clip_id in strips:
            picture = image(encode_images(strips[clip_id][None], quality=88)[0], "jpeg", f"Faces of {clip_id}")
        lines = "".join(
            f"<tr>{cells('td', [row['question'], row['answer'], row['family'], row['level'], _left_out(row)])}</tr>"
            for row in by_clip[clip_id]
        )
        headings = cells("th", ["question", "answer", "family", "level", ""])
        blocks.append(f"<h2>{escape(clip_id)}</h2>{picture}<table><tr>{headings}</tr>{lines}</table>")
    return "".join(blocks)


def _both(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return rows, [row for row in rows if row["selected"]]


def _counts(rows: list[dict[str, Any]], column: str) -> list[list[str]]:
    every, selected = (Counter(row[column] for row in some) for some in _both(rows))
    return [[name, f"{every[name]:,}", f"{selected[name]:,}"] for name in sorted(every)]


def _negatives(rows: list[dict[str, Any]], word: str, hard: bool) -> list[str]:
    counts = [sum(row["truth"] is False and row["hard_negative"] is hard for row in some) for some in _both(rows)]
    return [word, *(f"{count:,}" for count in counts)]


def _families(questions: list[dict[str, Any]]) -> list[list[str]]:
    lines = []
    for family in sorted({row["family"] for row in questions}):
        every, selected = _both([row for row in questions if row["family"] == family])
        (yes, no), (chosen_yes, chosen_no) = (
            [sum(row["truth"] is truth for row in some) for truth in (True, False)] for some in (every, selected)
        )
        share = f"{yes / (yes + no):.0%}" if yes + no else "–"
        counts = [f"{count:,}" for count in (len(selected), chosen_yes, chosen_no)]
        lines.append([family, f"{len(every):,}", f"{yes:,}", f"{no:,}", share, *counts])
    return lines


def _left_out(row: dict[str, Any]) -> str:
    if row["selected"]:
        return "selected"
    if row["contradictions"]:
        return f"contradicts {', '.join(row['contradictions'])}" if "question" in row else "contradicts a label"
    return "near copy" if row["duplicate"] else "budget or balance"


def _quantiles(name: str, rows: list[dict[str, Any]], selected: list[dict[str, Any]]) -> list[str]:
    values = np.quantile([row[name] for row in rows], _SHARES)
    chosen = f"{np.median([row[name] for row in selected]):.2f}" if selected else "–"
    return [name, *(f"{value:.2f}" for value in values), chosen]
