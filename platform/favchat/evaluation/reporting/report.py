"""Writes ``metrics.json`` and ``report.html``, and gives the same numbers for a terminal and a tracked run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import escape
from random import Random
from typing import Any

from rich.console import Console
from upath import UPath

from favchat.config import Config
from favchat.data.report.corpus_summary import NamedTable, show_tables
from favchat.data.report.html_page import cells, html, image, table_blocks
from favchat.evaluation.evaluate import Evaluation, TaskResult
from favchat.evaluation.reporting.plots import attribute_bars, confusion_picture
from favchat.evaluation.scoring.choices import Metric, Result
from favchat.io.files import write_text_whole
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

METRICS = "metrics.json"
PAGE = "report.html"
HEADINGS = {
    "war": "WAR",
    "uar": "UAR",
    "macro_f1": "macro-F1",
    "f1": "F1",
    "map": "mAP",
    "auc": "AUC",
    "ece": "ECE",
    "attribute_precision": "attribute precision",
    "attribute_recall": "attribute recall",
    "unlabelled_attributes": "unlabelled attributes a text",
    "cider": "CIDEr-D",
    "rouge_l": "ROUGE-L",
    "bleu4": "BLEU-4",
    "meteor": "METEOR",
    "judge": "judge, 0 to 10",
    "words": "words",
}
"""Metrics in the order in which they are shown."""
_ATTRIBUTES = frozenset(known.name for known in (*APPEARANCE, *ACTION, *EMOTION))
_EXAMPLES = 10
_WIDE = 160
_NOTHING = "No number: no label has two different values both in the training split and among the clips asked about."


def as_json(evaluation: Evaluation, config: Config) -> dict[str, Any]:
    """All results; undefined values are null."""
    settings = config.evaluation
    return {
        "model": evaluation.model,
        "corpus": config.data.out,
        "calibration": settings.calibration,
        "resamples": settings.resamples,
        "unjudged": evaluation.unjudged,
        "failures": dict(evaluation.asking.failures),
        "tasks": {one.task.name: _task_json(one) for one in evaluation.tasks},
    }


def _task_json(found: TaskResult) -> dict[str, Any]:
    task, leaks = found.task, found.leaks
    return {
        "title": task.title,
        "protocol": task.protocol,
        "source": task.source,
        "split": found.split,
        "listed_clips_not_in_shards": found.unlisted,
        "baselines_of_asked_clips": list(found.untrained),
        "leaks": {
            "training_clips": leaks.trained,
            "asked_clips": leaks.asked,
            "without_comparable_hash": leaks.unhashed,
            "without_identity": leaks.unknown,
            "clips": sorted(leaks.clips),
            "people": list(leaks.people),
            "videos": list(leaks.videos),
            "near_duplicates": [
                {"clip": clip, "training_clip": other, "bits": bits} for clip, other, bits in leaks.duplicates
            ],
        },
        "results": [
            {
                "part": result.part,
                "way": result.way,
                "asked": result.asked,
                "missing": result.missing,
                "unparsed": result.unparsed,
                "people": result.people,
                "metrics": {
                    name: {key: _number(value) for key, value in metric._asdict().items()}
                    for name, metric in result.metrics.items()
                },
                **(
                    {"classes": list(result.classes), "confusion": result.confusion.tolist()}
                    if result.confusion is not None
                    else {}
                ),
            }
            for result in found.results
        ],
    }


def run_metrics(evaluation: Evaluation) -> dict[str, float]:
    """The metrics by the names under which they are tracked, such as ``dfew/likelihood/expression/war``."""
    values = {
        f"{one.task.name}/{result.way}/{result.part}/{name}": metric.value
        for one in evaluation.tasks
        for result in one.results
        for name, metric in result.metrics.items()
        if not math.isnan(metric.value)
    }
    values |= {f"{one.task.name}/leaked clips": float(len(one.leaks.clips)) for one in evaluation.tasks}
    return {re.sub(r"[^\w\-. /]", "", name): value for name, value in values.items()}


def tables(evaluation: Evaluation, *, intervals: bool = True) -> list[NamedTable]:
    """One table per task; single attributes of the 83 are only in the plots and ``metrics.json``.

    Args:
        evaluation: The results.
        intervals: Whether to show them.
    """
    found = []
    for one in evaluation.tasks:
        single = one.task.kind == "probe"
        results = [result for result in one.results if single or result.part not in _ATTRIBUTES]
        names = [name for name in HEADINGS if any(name in result.metrics for result in results)]
        lines = []
        for result in results:
            shown = [shown_metric(result.metrics[name], intervals) if name in result.metrics else "" for name in names]
            lines.append([result.part, result.way, _counts(result), *shown])
            lines += _beside(result, names)
        found.append((one.task.title, ["", "", "questions", *[HEADINGS[name] for name in names]], lines))
    return found


def write_report(evaluation: Evaluation, config: Config) -> UPath:
    """Write both files; returns the page's path.

    Raises:
        OSError: They cannot be written.
    """
    out = evaluation.out
    write_text_whole(out / METRICS, json.dumps(as_json(evaluation, config), indent=1, allow_nan=False) + "\n")
    body = [f"<p>{escape(line)}</p>" for line in notes(evaluation, config)]
    for one, table in zip(evaluation.tasks, tables(evaluation), strict=True):
        body.append(table_blocks([table]) or f"<h2>{escape(one.task.title)}</h2><p>{_NOTHING}</p>")
        body += [f"<p>{escape(text)}</p>" for text in (one.task.protocol, f"Source: {one.task.source}.")]
        body.append(f"<p><b>{escape(one.leaks.summary())}</b></p>")
        if one.baselines():
            body.append(f"<p><b>{escape(one.baselines())}</b></p>")
        if one.unlisted:
            body.append(f"<p><b>{one.unlisted} listed clips are not in the shards and were not asked about.</b></p>")
        body.append(_pictures(one.results))
        body.append(_examples(evaluation, one.task.name, config.seed))
    write_text_whole(out / PAGE, html("Evaluation", f"{evaluation.model} on {config.data.out}", "".join(body)))
    return out / PAGE


def notes(evaluation: Evaluation, config: Config) -> list[str]:
    """Remarks that apply to all numbers."""
    settings = config.evaluation
    texts = [
        f"In brackets 95 % intervals by drawing people with all of their clips, {settings.resamples:,} times. "
        "Below each line: always answering with the most frequent class of the training split (majority), and drawing "
        "by its frequencies (prior). UAR and macro-F1 are means over the classes present in the truth. "
        "Unparsed answers count as wrong.",
    ]
    if settings.model and "likelihood" in (settings.ways or ["likelihood"]):
        texts.append(f"Likelihoods are calibrated by: {settings.calibration}.")
    if evaluation.asking.failures:
        count = sum(evaluation.asking.failures.values())
        texts.append(f"{count} questions have no answer yet and count nowhere; run again to ask them.")
    if evaluation.unjudged:
        texts.append(f"{evaluation.unjudged} open answers have no judgement yet; run again to ask for them.")
    return texts


def show(evaluation: Evaluation, console: Console | None = None) -> None:
    """Show the tables on a terminal; with intervals if it is wide enough."""
    console = console or Console()
    show_tables(tables(evaluation, intervals=console.width >= _WIDE), console)


def shown_metric(metric: Metric, with_interval: bool = True) -> str:
    """Format a number and its interval: ``0.641 [0.578, 0.703]``."""
    if math.isnan(metric.value):
        return "–"
    if not with_interval or metric.low is None or metric.high is None:
        return f"{metric.value:.3f}"
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def _beside(result: Result, names: Sequence[str]) -> list[list[str]]:
    """The lines of the baselines, if any."""
    lines = []
    for what in ("majority", "prior"):
        values = [getattr(result.metrics[name], what) if name in result.metrics else None for name in names]
        if any(value is not None for value in values):
            shown = ["" if value is None or math.isnan(value) else f"{value:.3f}" for value in values]
            lines.append([f"  {what}", "", "", *shown])
    return lines


def _counts(result: Result) -> str:
    text = f"{result.asked - result.missing:,} of {result.people:,} people"
    if result.unparsed:
        text += f", {result.unparsed:,} unparsed"
    if result.missing:
        text += f", {result.missing:,} missing"
    return text


def _pictures(results: Sequence[Result]) -> str:
    blocks = []
    for result in results:
        if result.confusion is not None and result.part not in _ATTRIBUTES and " fold " not in result.part:
            title = f"{result.part}, {result.way}"
            blocks.append(f"<div><h2>{escape(title)}</h2>{image(confusion_picture(result), 'png', title)}</div>")
    single = [result for result in results if result.part in _ATTRIBUTES]
    for way in sorted({result.way for result in single}):
        some = [result for result in single if result.way == way]
        metric = "auc" if any("auc" in result.metrics for result in some) else "uar"
        title = f"Attributes, {way}: {HEADINGS[metric]}"
        blocks.append(f"<div><h2>{escape(title)}</h2>{image(attribute_bars(some, metric), 'png', title)}</div>")
    return f'<div class="side">{"".join(blocks)}</div>' if blocks else ""


def _examples(evaluation: Evaluation, task: str, seed: int) -> str:
    rows = [row for row in evaluation.rows if row["task"] == task and row["way"] != "features"]
    drawn = Random(seed).sample(rows, min(_EXAMPLES, len(rows)))
    if not drawn:
        return ""
    lines = ""
    for row in drawn:
        said = row["raw"] if row["raw"] is not None else row["error"] or ""
        if row["probabilities"]:
            pairs = sorted(zip(row["probabilities"], row["options"], strict=True), reverse=True)[:3]
            said = ", ".join(f"{option} {chance:.2f}" for chance, option in pairs)
        elif row["options"]:
            said += " → " + ("unparsed" if row["answer"] is None else row["options"][row["answer"]])
        right = row["options"][row["truth"]] if row["options"] else " | ".join(row["references"][:2])
        lines += f"<tr>{cells('td', [row['clip_id'], row['question'], said, right])}</tr>"
    headings = cells("th", ["clip", "question", "answer", "right"])
    summary = f"<summary>{len(drawn)} answers drawn at random</summary>"
    return f"<details>{summary}<table><tr>{headings}</tr>{lines}</table></details>"


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 6)
