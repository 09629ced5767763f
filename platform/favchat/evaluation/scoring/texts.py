"""Scores open answers: similarity to reference texts, and attributes that the labels confirm or contradict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.label_check import check, truths
from favchat.data.corpus.clip import Clip
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.scoring import text_metrics
from favchat.evaluation.scoring.choices import Metric, Result, Scoring, gathered, people_of
from favchat.evaluation.scoring.metrics import Floats
from favchat.evaluation.scoring.predictions import Row
from favchat.evaluation.scoring.resampling import Estimate, cluster_weights, interval, mean_estimate

_BLEU_RESAMPLES = 200
"""BLEU is one number of the whole and has to be computed anew for every draw."""


def text_results(
    items: Sequence[EvalQuestion], rows: Sequence[Row], clips: Mapping[str, Clip], scoring: Scoring
) -> list[Result]:
    """Results of open questions, for each metric group.

    Args:
        items: All questions of the task; closed ones are skipped.
        rows: The answered ones.
        clips: Their clips.
        scoring: Further inputs.
    """
    results: list[Result] = []
    open_items = [item for item in items if not item.options]
    for (part, way), (asked, answered) in gathered(open_items, [row for row in rows if not row["options"]]).items():
        answered = [row for row in answered if row["raw"] is not None]
        if not answered:
            results.append(Result(part, way, asked, 0, {}, missing=asked))
            continue
        people = people_of(answered)
        found = text_values([row["raw"] for row in answered], answered, clips)
        constant = most_frequent(scoring.trained, part) or most_frequent(open_items, part)
        always = text_values([constant] * len(answered), answered, clips)
        settings = {"resamples": scoring.resamples, "seed": scoring.seed}
        metrics = {
            name: Metric(*mean_estimate(values, people, **settings), _mean(always[name]))
            for name, values in found.items()
        }
        metrics |= _shares(answered, clips, scoring, people, constant)
        if part == "all":
            metrics["bleu4"] = _bleu(answered, people, constant, scoring)
        scores = np.array([np.nan if row["score"] is None else row["score"] for row in answered])
        unparsed = sum(row["judgement"] is not None and row["score"] is None for row in answered)
        if not np.isnan(scores).all():
            metrics["judge"] = Metric(*mean_estimate(scores, people, **settings))
        results.append(Result(part, way, asked, len(set(people.tolist())), metrics, asked - len(answered), unparsed))
    return results


def text_values(texts: Sequence[str], rows: Sequence[Row], clips: Mapping[str, Clip]) -> dict[str, Floats]:
    """One value per text: ROUGE-L, CIDEr-D of descriptions, METEOR if available, words, unlabelled attributes."""
    references = [row["references"] for row in rows]
    values = {"rouge_l": text_metrics.rouge_l(texts, references)}
    if rows[0]["level"] == "description":
        values["cider"] = text_metrics.cider(texts, references)
        if text_metrics.has_wordnet():
            values["meteor"] = text_metrics.meteor(texts, references)
    values["words"] = np.array([float(len(text_metrics.words(text))) for text in texts])
    return values


def attribute_counts(text: str, row: Row, clip: Clip) -> tuple[int, int, int, int]:
    """Number of a text's attributes that the labels confirm, contradict and lack, and number of true labels.

    See ``favchat.data.annotate.label_check``. A sex that a pronoun presupposes counts only if it is
    wrong. The last number is 0 if the question asks for something specific, for which recall is not defined.
    """
    facts = known_labels_of(clip)
    known = truths(facts)
    found = check(row["question"], text, "open", known, tuple(segment.emotion for segment in facts.segments))
    true = sum(known.values()) if row["level"] == "description" else 0
    return len(found.confirmed), len(found.contradicted), len(found.neutral), true


def most_frequent(items: Sequence[EvalQuestion], part: str) -> str:
    """The most frequent reference, ties in alphabetical order; empty without references."""
    texts = Counter(text for item in items if item.part == part for text in item.references)
    return min(texts, key=lambda text: (-texts[text], text), default="")


def _shares(
    rows: Sequence[Row], clips: Mapping[str, Clip], scoring: Scoring, people: np.ndarray, constant: str
) -> dict[str, Metric]:
    """Micro-averaged attribute precision and recall, and the mean number of unlabelled attributes per text."""
    counts = np.array([attribute_counts(row["raw"], row, clips[row["clip_id"]]) for row in rows], float)
    always = np.array([attribute_counts(constant, row, clips[row["clip_id"]]) for row in rows], float)
    spread = {}
    if len(set(people.tolist())) > 1:
        weights = cluster_weights(people, scoring.resamples, scoring.seed)
        spread = _of_counts(weights @ counts)
    found, beside = _of_counts(counts.sum(0)[None]), _of_counts(always.sum(0)[None])
    metrics = {}
    for name, values in found.items():
        if name == "attribute_recall" and not counts[:, 3].any():
            continue
        bounds = interval(spread[name]) if spread else (None, None)
        metrics[name] = Metric(float(values[0]), *bounds, float(beside[name][0]))
    metrics["unlabelled_attributes"] = Metric(
        *mean_estimate(counts[:, 2], people, resamples=scoring.resamples, seed=scoring.seed), _mean(always[:, 2])
    )
    return metrics


def _of_counts(counts: Floats) -> dict[str, Floats]:
    """Precision and recall of `(R, 4)` sums; precision is NaN if no labelled attribute is stated."""
    confirmed, contradicted, _, true = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "attribute_precision": confirmed / (confirmed + contradicted),
            "attribute_recall": confirmed / true,
        }


def _bleu(rows: Sequence[Row], people: np.ndarray, constant: str, scoring: Scoring) -> Metric:
    texts, references = [row["raw"] for row in rows], [row["references"] for row in rows]
    value = text_metrics.bleu(texts, references)
    estimate = Estimate(value, None, None)
    if len(set(people.tolist())) > 1:
        draws = cluster_weights(people, min(_BLEU_RESAMPLES, scoring.resamples), scoring.seed).astype(int)
        values = []
        for weights in draws:
            picked = np.repeat(np.arange(len(rows)), weights)
            values.append(text_metrics.bleu([texts[i] for i in picked], [references[i] for i in picked]))
        estimate = Estimate(value, *interval(np.array(values)))
    return Metric(*estimate, text_metrics.bleu([constant] * len(rows), references))


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
