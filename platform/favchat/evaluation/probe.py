"""Logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from favchat.attributes import ACTION, APPEARANCE, EMOTION
from favchat.evaluation import baselines
from favchat.evaluation.corpus import Labelled
from favchat.evaluation.metrics import Answers, Floats, confusion
from favchat.evaluation.resampling import cluster_numbers, estimates
from favchat.evaluation.scoring import Metric, Result, Scoring

STRENGTHS = (0.0003, 0.003, 0.03, 0.3)
"""Inverse strengths of the regularisation that cross validation chooses from."""
_FOLDS = 3


def fit_predict(
    train: Floats, truth: NDArray[np.int64], people: Sequence[str], test: Floats, classes: int, seed: int = 0
) -> Floats:
    """Probabilities of a logistic regression on standardised features.

    The strength of its regularisation is the one with the best log-loss in cross validation over the training people.

    Args:
        train: `(N, D)` features.
        truth: `(N,)` classes, at least two different ones.
        people: `(N,)` whom each row is about.
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

    def model(strength: float) -> object:
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
            fitted = model(strength).fit(train[fit], truth[fit])  # type: ignore[attr-defined]
            losses[strength] += log_loss(truth[held], fitted.predict_proba(train[held]), labels=present)
    best = min(losses, key=lambda strength: losses[strength])
    fitted = model(best).fit(train, truth)  # type: ignore[attr-defined]
    found = np.zeros((len(test), classes))
    found[:, present] = fitted.predict_proba(test)
    return found


def probe_results(
    features: Mapping[str, Sequence[float]],
    trained: Sequence[Labelled],
    asked: Sequence[Labelled],
    scoring: Scoring,
) -> list[Result]:
    """Probe the emotion, and every attribute that some clips of both splits have and others have not.

    Args:
        features: Clip -> its visual tokens.
        trained: Clips of the training split.
        asked: Clips of the split that is asked about.
        scoring: What else is needed.
    """
    trained = [one for one in trained if one.clip.id in features]
    asked = [one for one in asked if one.clip.id in features]
    results = []
    names = [emotion.name for emotion in EMOTION]
    targets: list[tuple[str, tuple[str, ...], list[int | None], list[int | None]]] = [
        ("emotion", tuple(names), *(
            [None if one.clip.emotion is None else names.index(one.clip.emotion) for one in some]
            for some in (trained, asked)
        ))
    ]
    for kind, known in (("appearance", APPEARANCE), ("action", ACTION)):
        for place, attribute in enumerate(known):
            labels = ([getattr(one.clip, kind)[place] for one in some] for some in (trained, asked))
            targets.append((attribute.name, ("no", "yes"), *labels))
    for name, classes, before, now in targets:
        fit = [index for index, label in enumerate(before) if label is not None]
        held = [index for index, label in enumerate(now) if label is not None]
        truth = np.array([before[index] for index in fit], np.int64)
        right = np.array([now[index] for index in held], np.int64)
        if len(np.unique(truth)) < 2 or len(np.unique(right)) < 2:
            continue
        chances = fit_predict(
            np.array([features[trained[index].clip.id] for index in fit]),
            truth,
            [trained[index].person for index in fit],
            np.array([features[asked[index].clip.id] for index in held]),
            len(classes),
            scoring.seed,
        )
        people = [asked[index].person for index in held]
        results.append(
            classifier_result(name, "features", chances, right, people, np.bincount(truth, minlength=len(classes)), classes, scoring)
        )
    return results


def classifier_result(
    part: str,
    way: str,
    chances: Floats,
    truth: NDArray[np.int64],
    people: Sequence[str],
    counts: NDArray[np.int64],
    classes: Sequence[str],
    scoring: Scoring,
) -> Result:
    """The metrics of a classifier.

    Args:
        part: What the result is called.
        way: By what it was found.
        chances: `(N, K)` probabilities.
        truth: `(N,)`.
        people: Whom each row is about.
        counts: `(K,)` of the training split.
        classes: K names.
        scoring: What else is needed.
    """
    answers = Answers(truth, chances.argmax(1).astype(np.int64), len(classes), chances)
    found = estimates(answers, cluster_numbers(people), resamples=scoring.resamples, seed=scoring.seed)
    always, drawn = baselines.majority(answers, counts), baselines.prior(answers, counts)
    metrics = {name: Metric(*estimate, always.get(name), drawn.get(name)) for name, estimate in found.items()}
    return Result(
        part, way, len(truth), len(set(people)), metrics, classes=tuple(classes), confusion=confusion(answers)
    )
