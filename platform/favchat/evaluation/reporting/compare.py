"""Compares two evaluations on the questions that both answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from favchat.config import ConfigError
from favchat.data.corpus.parquet_files import read_table
from favchat.data.report.corpus_summary import NamedTable, show_tables
from favchat.evaluation.asking.eval_question import PREDICTION_SCHEMA
from favchat.evaluation.evaluate import PREDICTIONS
from favchat.evaluation.reporting.report import HEADINGS
from favchat.evaluation.scoring import text_metrics
from favchat.evaluation.scoring.attributes import Labels, filled, labels_by_attribute, metrics_of, weighted_metrics
from favchat.evaluation.scoring.choices import answers_of, people_of
from favchat.evaluation.scoring.metrics import Floats
from favchat.evaluation.scoring.predictions import Row
from favchat.evaluation.scoring.resampling import (
    Estimate,
    Paired,
    cluster_numbers,
    cluster_weights,
    interval,
    mcnemar,
    paired,
    paired_means,
    resampled,
)
from favchat.io.paths import path_of
from favchat.labels.attributes import attribute
from favchat.plugins import TASKS

Line = tuple[str, Paired, tuple[int, int, float] | None]
"""A metric, its two values, and of WAR the questions that only one side got right."""


@dataclass(frozen=True)
class Compared:
    """One metric of one metric group of a task."""

    task: str
    part: str
    way: str
    questions: int
    metric: str
    paired: Paired
    discordant: tuple[int, int, float] | None = None
    """Of WAR: how many only A got right, how many only B, and McNemar's exact p."""


def compare(a: str, b: str, *, attributes: Sequence[str] = (), resamples: int = 1000, seed: int = 0) -> list[Compared]:
    """Pair two evaluations.

    Args:
        a: Folder of the first (``evaluation.out``).
        b: Folder of the second.
        attributes: Names of some of the 83 attributes, which are compared individually; by default all tasks are
            compared, with the mean over the attributes.
        resamples: Bootstrap samples, and permutations.
        seed: Of the draws.

    Raises:
        ConfigError: A folder holds no predictions, the two share no question, or none about an attribute.
    """
    sides = [{_key(row): row for row in _read(place)} for place in (a, b)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if not shared:
        raise ConfigError(f"{a} and {b} share no question; evaluate both with the same tasks, split and corpus")
    if attributes:
        found = _singly([(sides[0][key], sides[1][key]) for key in shared], attributes, resamples, seed)
        return [one for one in found if not np.isnan(one.paired.difference.value)]
    groups: dict[tuple[str, str, str], list[tuple[Row, Row]]] = {}
    for key in shared:
        row = sides[0][key]
        groups.setdefault((row["task"], row["part"], row["way"]), []).append((row, sides[1][key]))
    found = []
    labelled: dict[tuple[str, str], list[tuple[Row, Row]]] = {}
    for (task, part, way), pairs in groups.items():
        if TASKS[task].kind == "attributes":
            labelled.setdefault((task, way), []).extend(pairs)
            continue
        lines = _group([row for row, _ in pairs], [row for _, row in pairs], resamples, seed)
        found += [Compared(task, part, way, len(pairs), *line) for line in lines]
    for (task, way), pairs in labelled.items():
        lines = _attributes(pairs, resamples, seed)
        found += [Compared(task, "mean of attributes", way, len(pairs), *line) for line in lines]
    # Metrics that are undefined for one side, such as the AUC of questions with a single answer, have no difference.
    return [one for one in found if not np.isnan(one.paired.difference.value)]


def tables(found: Sequence[Compared]) -> list[NamedTable]:
    """One table per task."""
    headings = ["", "", "questions", "metric", "A", "B", "B - A", "p (swaps)", "only A, only B right", "p (McNemar)"]
    result = []
    for task in dict.fromkeys(one.task for one in found):
        lines = []
        for one in found:
            if one.task == task:
                difference = one.paired.difference
                shown = f"{difference.value:+.3f}"
                if difference.low is not None and difference.high is not None:
                    shown += f" [{difference.low:+.3f}, {difference.high:+.3f}]"
                values = [f"{value:.3f}" for value in (one.paired.a, one.paired.b)]
                p = "" if one.paired.p is None else f"{one.paired.p:.3f}"
                only = ["", ""]
                if one.discordant is not None:
                    only = [f"{one.discordant[0]}, {one.discordant[1]}", f"{one.discordant[2]:.3f}"]
                name = HEADINGS.get(one.metric, one.metric)
                lines.append([one.part, one.way, f"{one.questions:,}", name, *values, shown, p, *only])
        result.append((task, headings, lines))
    return result


def show(found: Sequence[Compared], console: Console | None = None) -> None:
    """Show the tables on a terminal."""
    show_tables(tables(found), console)


def _group(a: list[Row], b: list[Row], resamples: int, seed: int) -> list[Line]:
    """The metrics of one metric group in one answer mode."""
    people = people_of(a)
    if a[0]["options"] and len({tuple(row["options"]) for row in a}) == 1:
        one, other = (answers_of(rows, a[0]["options"]) for rows in (a, b))
        found = paired(one, other, people, resamples=resamples, seed=seed)
        discordant = mcnemar(one, other)
        return [(name, values, discordant if name == "war" else None) for name, values in found.items()]

    def means(one: Floats, other: Floats, clusters: NDArray[np.int64]) -> Paired:
        return paired_means(one, other, clusters, resamples=resamples, seed=seed)

    if a[0]["options"]:
        right = [np.array([row["answer"] == row["truth"] for row in rows], float) for rows in (a, b)]
        return [("war", means(right[0], right[1], people), None)]
    known = [place for place in range(len(a)) if a[place]["raw"] is not None and b[place]["raw"] is not None]
    if not known:
        return []
    sides = [[rows[place] for place in known] for rows in (a, b)]
    references = [row["references"] for row in sides[0]]
    texts = [[row["raw"] for row in rows] for rows in sides]
    lines: list[Line] = []
    for name, metric in {"rouge_l": text_metrics.rouge_l, "cider": text_metrics.cider}.items():
        if name == "rouge_l" or a[0]["level"] == "description":
            one_side, other_side = (metric(some, references) for some in texts)
            lines.append((name, means(one_side, other_side, people[known]), None))
    scores = [np.array([np.nan if row["score"] is None else row["score"] for row in rows]) for rows in sides]
    if not np.isnan(scores[0] + scores[1]).all():
        lines.append(("judge", means(scores[0], scores[1], people[known]), None))
    return lines


def _attributes(pairs: Sequence[tuple[Row, Row]], resamples: int, seed: int) -> list[Line]:
    """Means over the attributes with both values; the same resampled people are used for all of them."""
    sides = [labels_by_attribute([pair[side] for pair in pairs], []) for side in (0, 1)]
    everyone = sorted({pair[0]["identity"] for pair in pairs})
    numbers = {person: number for number, person in enumerate(everyone)}
    draws = cluster_weights(np.arange(len(everyone)), resamples, seed)
    values: dict[str, list[tuple[float, float]]] = {}
    spread: dict[str, list[Floats]] = {}
    for name, labels in sides[0].items():
        truth = labels.answers.truth
        if not 0 < truth.sum() < len(truth):
            continue
        weights = draws[:, [numbers[person] for person in labels.people]]
        both = [side[name].answers for side in sides]
        drawn = [resampled(partial(weighted_metrics, one), weights) for one in both]
        found = [metrics_of(one) for one in both]
        for metric in found[0].keys() & found[1].keys():
            values.setdefault(metric, []).append((found[0][metric], found[1][metric]))
            spread.setdefault(metric, []).append(filled(drawn[1][metric] - drawn[0][metric]))
    lines: list[Line] = []
    for metric in [name for name in HEADINGS if name in values]:
        one, other = np.mean(values[metric], axis=0)
        bounds = interval(np.nanmean(spread[metric], axis=0)) if len(everyone) > 1 else (None, None)
        lines.append((metric, Paired(float(one), float(other), Estimate(float(other - one), *bounds), None), None))
    return lines


def _singly(pairs: Sequence[tuple[Row, Row]], names: Sequence[str], resamples: int, seed: int) -> list[Compared]:
    """Some attributes individually, with tests: WAR, UAR, F1 and ranking metrics of its presence."""
    groups: dict[tuple[str, str], list[tuple[Row, Row]]] = {}
    for pair in pairs:
        if TASKS[pair[0]["task"]].kind == "attributes":
            groups.setdefault((pair[0]["task"], pair[0]["way"]), []).append(pair)
    found: list[Compared] = []
    for name in names:
        try:
            wanted = attribute(name).name
        except KeyError as error:
            raise ConfigError(f"--attribute: {error.args[0]}") from None
        before = len(found)
        for (task, way), some in groups.items():
            sides = [labels_by_attribute([pair[side] for pair in some], []).get(wanted) for side in (0, 1)]
            if sides[0] is None or sides[1] is None:
                continue
            lines = _single(sides[0], sides[1], resamples, seed)
            found += [Compared(task, wanted, way, len(sides[0].people), *line) for line in lines]
        if len(found) == before:
            raise ConfigError(
                f"--attribute: the two share no question about '{wanted}'; evaluate both with the task "
                "celebv_hq_attributes on a corpus where it is labelled"
            )
    return found


def _single(a: Labels, b: Labels, resamples: int, seed: int) -> list[Line]:
    people = cluster_numbers(a.people)
    tested = paired(a.answers, b.answers, people, resamples=resamples, seed=seed)
    values = [metrics_of(one.answers) for one in (a, b)]
    spread: list[dict[str, Floats]] = []
    if len(set(a.people)) > 1:
        weights = cluster_weights(people, resamples, seed)
        spread = [resampled(partial(weighted_metrics, one.answers), weights) for one in (a, b)]
    lines: list[Line] = []
    for metric in [name for name in HEADINGS if name in values[0] and name in values[1]]:
        one, other = values[0][metric], values[1][metric]
        bounds = interval(spread[1][metric] - spread[0][metric]) if spread else (None, None)
        # For an attribute, average precision and F1 are those of its presence: only the other metrics are shared.
        p = tested[metric].p if metric in ("war", "uar", "macro_f1") else None
        discordant = mcnemar(a.answers, b.answers) if metric == "war" else None
        lines.append((metric, Paired(one, other, Estimate(other - one, *bounds), p), discordant))
    return lines


def _key(row: Row) -> tuple[str, str, str, str, int]:
    return row["task"], row["part"], row["way"], row["item"], row["fold"] or 0


def _read(place: str) -> list[Row]:
    file = path_of(place) / PREDICTIONS
    if not file.exists():
        raise ConfigError(f"{place}: no {PREDICTIONS} there; it is no folder of `favchat evaluate` (evaluation.out)")
    return read_table(file, PREDICTION_SCHEMA.names).to_pylist()
