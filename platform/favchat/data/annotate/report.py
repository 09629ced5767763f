"""Report on the annotations: counts, balance, contradictions and scores, for a terminal and as HTML."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.console import Console
from upath import UPath

from favchat.data.annotate.counts import AnnotationCounts, what_became
from favchat.data.annotate.pipeline import AnnotateResult
from favchat.data.corpus.schema import SCORES, SHARDS
from favchat.data.report.contact_sheet import face_strips
from favchat.data.report.corpus_summary import NamedTable, show_tables
from favchat.data.report.html_page import cells, html, image, table_blocks
from favchat.io.files import write_text_whole
from favchat.video.images import encode_images

PAGE = "annotations.html"
_SHARES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class AnnotationReport:
    """Statistics of the rows that a run of ``annotate`` wrote."""

    page: UPath
    counts: AnnotationCounts

    @property
    def rejects(self) -> dict[str, int]:
        """Stage -> clips that the writer failed on."""
        return dict(self.counts.rejects)

    @property
    def contradictions(self) -> int:
        """Rows that contradict a label."""
        return self.counts.contradicted

    def metrics(self) -> dict[str, float]:
        """The metrics that are logged to the tracking store."""
        counts = self.counts
        return {
            "clips": counts.clips,
            "rows": counts.rows,
            "selected": counts.selected,
            "duplicates": counts.duplicates,
            "contradiction_rate": self.contradictions / max(1, counts.rows),
            "rejected": counts.rejects.total(),
        }

    def show(self, console: Console | None = None) -> None:
        """Show the counts as tables."""
        show_tables(self.tables(), console)

    def tables(self) -> list[NamedTable]:
        """Title, headings and lines of each table."""
        counts = self.counts
        rate = self.contradictions / max(1, counts.rows)
        splits = sorted({(task, split) for task, split, _ in counts.tasks})
        return [
            (
                f"{counts.rows:,} rows of {counts.annotated:,} clips, {counts.selected:,} selected",
                ["task", "split", "rows", "selected"],
                [[*key, *_both(counts.tasks, *key)] for key in splits],
            ),
            (
                "questions by family, and how those are answered that are answered yes or no",
                ["family", "rows", "yes", "no", "yes %", "selected", "yes", "no"],
                _families(counts.families),
            ),
            ("answer types", ["type", "rows", "selected"], _lines(counts.types)),
            ("levels", ["level", "rows", "selected"], _lines(counts.levels)),
            (
                f"contradictions: {rate:.2%} of the rows",
                ["", "rows"],
                [
                    ["checked against the labels", f"{counts.rows:,}"],
                    ["contradict a label", f"{self.contradictions:,}"],
                    *[[f"  {name}", f"{count:,}"] for name, count in counts.wrong.most_common(10)],
                ],
            ),
            (
                "hard negatives, of the questions answered no",
                ["", "rows", "selected"],
                [["hard", *_both(counts.negatives, True)], ["other", *_both(counts.negatives, False)]],
            ),
            (
                "what becomes of the rows",
                ["", "rows"],
                [[name, f"{count:,}"] for name, count in sorted(counts.outcomes.items())],
            ),
            (
                "scores",
                ["score", "5 %", "median", "95 %", "median of the selected"],
                [_quantiles(name, counts) for name in SCORES] if counts.rows else [],
            ),
            (
                "rejects",
                ["stage", "clips"],
                [[stage, f"{count:,}"] for stage, count in sorted(self.rejects.items())],
            ),
        ]


def write_annotation_report(result: AnnotateResult, out: UPath) -> AnnotationReport:
    """Write ``annotations.html``: the counts, and all rows of ten random clips beside their faces.

    Args:
        result: What ``annotate`` returned.
        out: The corpus (``data.out``).

    Raises:
        OSError: The page cannot be written.
    """
    report = AnnotationReport(out / PAGE, result.counts)
    body = f'<div class="side">{table_blocks(report.tables())}</div>{_samples(result.counts, out / SHARDS)}'
    write_text_whole(report.page, html("Annotations", str(result.path), body))
    return report


def _samples(counts: AnnotationCounts, shards: UPath) -> str:
    strips = face_strips(shards, [clip_id for _, clip_id in counts.samples])
    blocks = []
    for (_, clip_id), rows in sorted(counts.samples.items(), key=lambda sample: sample[0][1]):
        picture = ""
        if clip_id in strips:
            picture = image(encode_images(strips[clip_id][None], quality=88)[0], "jpeg", f"Faces of {clip_id}")
        lines = "".join(f"<tr>{cells('td', _told(row))}</tr>" for row in rows)
        headings = cells("th", ["question", "answer", "family", "level", ""])
        blocks.append(f"<h2>{escape(clip_id)}</h2>{picture}<table><tr>{headings}</tr>{lines}</table>")
    return "".join(blocks)


def _told(row: dict[str, Any]) -> list[str]:
    became = what_became(row["selected"], row["contradictions"], row["duplicate"])
    return [row["question"], row["answer"], row["family"], row["level"], became]


def _both(counts: Counter[Any], *key: Any) -> list[str]:
    """All rows of a key, and the selected ones."""
    selected = counts[*key, True]
    return [f"{selected + counts[*key, False]:,}", f"{selected:,}"]


def _lines(counts: Counter[tuple[str, bool]]) -> list[list[str]]:
    return [[name, *_both(counts, name)] for name in sorted({name for name, _ in counts})]


def _families(counts: Counter[tuple[str, bool | None, bool]]) -> list[list[str]]:
    lines = []
    for family in sorted({family for family, *_ in counts}):
        chosen_yes, chosen_no, chosen_other = (counts[family, truth, True] for truth in (True, False, None))
        yes = chosen_yes + counts[family, True, False]
        no = chosen_no + counts[family, False, False]
        other = chosen_other + counts[family, None, False]
        share = f"{yes / (yes + no):.0%}" if yes + no else "–"
        chosen = chosen_yes + chosen_no + chosen_other
        selected = [f"{count:,}" for count in (chosen, chosen_yes, chosen_no)]
        lines.append([family, f"{yes + no + other:,}", f"{yes:,}", f"{no:,}", share, *selected])
    return lines


def _quantiles(name: str, counts: AnnotationCounts) -> list[str]:
    chosen = counts.quantile(name, 0.5, selected=True)
    values = [counts.quantile(name, share) or 0.0 for share in _SHARES]
    return [name, *(f"{value:.2f}" for value in values), "–" if chosen is None else f"{chosen:.2f}"]
