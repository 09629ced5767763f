"""Logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from favchat.evaluation.asking.eval_question import PREDICTION_SCHEMA, AnswerMode, EvalQuestion, item_rows
from favchat.evaluation.labelled_clips import LabelledClip
from favchat.evaluation.scoring.metrics import Floats
from favchat.evaluation.scoring.predictions import Row
from favchat.evaluation.scoring.resampling import cluster_numbers
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

STRENGTHS = (0.0003, 0.003, 0.03, 0.3)
"""Inverse strengths of the regularisation that cross validation chooses from."""
_FOLDS = 3


def fit_predict(
    train: Floats, truth: NDArray[np.int64], people: Sequence[str], test: Floats, classes: int, seed: int = 0
) -> Floats:
    """Probabilities of a logistic regression on standardised features.

    The regularisation strength is selected by log-loss in cross-validation, grouped by person.

    Args:
        train: `(N, D)` features.
        truth: `(N,)` classes, at least two different ones.
        people: `(N,)` person of each row.
        test: `(M, D)` features.
        classes: K; a class that is not in `truth` gets probability 0.
        seed: Of the folds.

    Returns:
        `(M, K)`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    present = np.unique(truth)

    def model(strength: float) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))

    groups = cluster_numbers(people)
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    if len(np.unique(groups)) >= _FOLDS and np.bincount(truth)[present].min() >= _FOLDS:
        splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
        folds = [
            (fit, held)
            for fit, held in splitter.split(train, truth, groups)
            if len(held) and np.array_equal(np.unique(truth[fit]), present)
        ]
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for fit, held in folds:
        for strength in STRENGTHS:
            fitted = model(strength).fit(train[fit], truth[fit])
            losses[strength] += log_loss(truth[held], fitted.predict_proba(train[held]), labels=present)
    best = min(losses, key=lambda strength: losses[strength])
    fitted = model(best).fit(train, truth)
    found = np.zeros((len(test), classes))
    found[:, present] = fitted.predict_proba(test)
    return found


def probe_predictions(
    features: Mapping[str, Sequence[float]],
    trained: Sequence[LabelledClip],
    asked: Sequence[LabelledClip],
    *,
    task: str = "linear_probe",
    way: AnswerMode = "features",
    parts: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[list[EvalQuestion], list[EvalQuestion], list[Row]]:
    """Probe the emotion, and every attribute with both values in both splits.

    Args:
        features: Clip -> its features, all of equal length; clips without features are skipped.
        trained: Clips of the training split.
        asked: Clips of the evaluated split.
        task: Task name of the predictions.
        way: Answer mode of the predictions.
        parts: Metric groups to probe; by default ``emotion`` and all attributes.
        seed: Of the folds.

    Returns:
        Training questions, evaluated questions, and predictions.
    """
    trained = [one for one in trained if one.clip.id in features]
    asked = [one for one in asked if one.clip.id in features]
    learnt: list[EvalQuestion] = []
    items: list[EvalQuestion] = []
    rows: list[Row] = []
    for part, options in _targets(parts):
        before, now = (_known(some, part, options, task, way) for some in (trained, asked))
        truths = [np.array([item.truth for item in some], np.int64) for some in (before, now)]
        if min(len(np.unique(truth)) for truth in truths) < 2:
            continue
        fit, held = (np.array([features[item.clip_id] for item in some]) for some in (before, now))
        chances = fit_predict(fit, truths[0], [item.identity for item in before], held, len(options), seed)
        learnt += before
        items += now
        rows += [prediction(item, chance) for item, chance in zip(now, chances, strict=True)]
    return learnt, items, rows


def prediction(item: EvalQuestion, chances: Floats) -> Row:
    """A row of ``PREDICTION_SCHEMA`` from a classifier's probabilities."""
    (row,) = item_rows([item])
    answer = {"probabilities": chances.tolist(), "answer": int(chances.argmax())}
    return dict.fromkeys(PREDICTION_SCHEMA.names) | row | answer


def _targets(parts: Sequence[str] | None) -> list[tuple[str, tuple[str, ...]]]:
    targets = [("emotion", tuple(emotion.name for emotion in EMOTION))]
    targets += [(known.name, ("no", "yes")) for known in (*APPEARANCE, *ACTION)]
    return [target for target in targets if parts is None or target[0] in parts]


def _known(
    clips: Sequence[LabelledClip], part: str, options: tuple[str, ...], task: str, way: AnswerMode
) -> list[EvalQuestion]:
    """The clips with a known label."""
    items = []
    for one in clips:
        if part == "emotion":
            truth = None if one.clip.emotion is None else options.index(one.clip.emotion)
        else:
            kind, place = _PLACES[part]
            truth = getattr(one.clip, kind)[place]
        if truth is not None:
            clip = one.clip
            items.append(EvalQuestion(task, part, clip.id, one.person, clip.split, way, part, options, truth=truth))
    return items


_PLACES = {
    known.name: (kind, place)
    for kind, some in (("appearance", APPEARANCE), ("action", ACTION))
    for place, known in enumerate(some)
}
"""Attribute -> which labels hold it, and where."""
