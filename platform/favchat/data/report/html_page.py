"""A corpus report as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from io import BytesIO

import numpy as np
from upath import UPath

from favchat.data.report.contact_sheet import contact_sheet, write_sheet
from favchat.data.report.corpus_summary import CorpusSummary, NamedTable, shard_folder, summarise
from favchat.io.files import write_text_whole

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1e293b; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { color: #475569; margin: .2rem 0; }
table { border-collapse: collapse; } td, th { padding: .15rem .9rem .15rem 0; border-bottom: 1px solid #e2e8f0; }
th { text-align: left; font-weight: 600; color: #475569; } td + td { font-variant-numeric: tabular-nums; }
img { max-width: 100%; border-radius: 4px; }
.side { display: flex; flex-wrap: wrap; gap: 0 4rem; }
"""


@dataclass(frozen=True)
class Report:
    """A report's files and content."""

    summary: CorpusSummary
    page: UPath
    sheet: UPath | None
    """None where no row has a face to show, as all clips were rejected."""

    @property
    def files(self) -> list[UPath]:
        """All written files."""
        return [self.page] if self.sheet is None else [self.page, self.sheet]


def write_report(folder: UPath, out: UPath | None = None) -> Report:
    """Summarise a corpus and write ``report.html`` and ``faces.jpg``, the contact sheet.

    Args:
        folder: A corpus (``data.out``) or its folder of shards.
        out: Where to write; by default `folder`.

    Raises:
        ConfigError: There are neither shards nor rejects.
        OSError: `out` cannot be written.
    """
    summary = summarise(folder)
    out = out or folder
    out.mkdir(parents=True, exist_ok=True)
    report = Report(summary, out / "report.html", out / "faces.jpg" if summary.rows else None)
    faces = None
    if report.sheet is not None:
        write_sheet(contact_sheet(shard_folder(folder)), report.sheet)
        faces = report.sheet.read_bytes()
    write_text_whole(report.page, page(summary, faces))
    return report


def page(summary: CorpusSummary, faces: bytes | None) -> str:
    """The report as HTML.

    Args:
        summary: The statistics.
        faces: The contact sheet, a JPEG; None if there are no rows.
    """
    pictures = ""
    if faces is not None:
        measures = image(histograms(summary.measures), "png", "Histograms of the quality measures")
        pictures = f"<h2>Random faces</h2>{image(faces, 'jpeg', 'Aligned faces of random clips')}"
        pictures += f"<h2>Quality measures</h2>{measures}"
    body = f'{pictures}<div class="side">{table_blocks(summary.tables())}</div>'
    return html("Corpus report", str(summary.folder), body)


def html(title: str, place: str, body: str) -> str:
    """A complete HTML page.

    Args:
        title: Its heading.
        place: Subheading: the corpus it is about.
        body: The rest, as HTML.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><p>{escape(place)}</p>{body}</body></html>\n"
    )


def table_blocks(tables: list[NamedTable]) -> str:
    """Tables with their titles, as HTML; empty ones are skipped."""
    return "".join(
        f"<div><h2>{escape(title)}</h2><table><tr>{cells('th', headings)}</tr>"
        + "".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
        + "</table></div>"
        for title, headings, lines in tables
        if lines
    )


def histograms(measures: Mapping[str, np.ndarray]) -> bytes:
    """One small histogram per measure, as a PNG.

    Args:
        measures: Measure -> (N,) values.
    """
    from matplotlib.figure import Figure

    columns = 4
    figure = Figure(figsize=(11, 2.1 * -(-len(measures) // columns)), layout="constrained")
    for number, (name, values) in enumerate(measures.items(), start=1):
        axes = figure.add_subplot(-(-len(measures) // columns), columns, number)
        axes.hist(values, bins=30, color="#0369a1")
        axes.set_title(name, fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def cells(tag: str, values: list[str]) -> str:
    """One line of a table, as HTML."""
    return "".join(f"<{tag}>{escape(value)}</{tag}>" for value in values)


def image(data: bytes, kind: str, text: str) -> str:
    """An image embedded in the page.

    Args:
        data: The file.
        kind: ``jpeg`` or ``png``.
        text: Alternative text.
    """
    return f'<img alt="{escape(text)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
