"""Fit what the shipped model reads off the face's mesh, beside what its adapter tells.

    python tools/fit_face_mesh.py CORPUS --train train --photos val --real real

Smiles, closed eyes, where somebody looks and the emotions: a logistic regression on the mesh's shape
(`favchat.video.mesh_features`) of the training clips, whose logit is added to the adapter's with the weight that fits
half A of the held-out people best. Blinking, which photos do not show: one on the two measures of how the eyes close,
on real windows; moved photos count as not blinking. It is measured on half B after a fit on half A, then fitted on both
halves, and measured by leaving out one person after the other. The calibration of all attributes is made anew.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import numpy as np
import torch
from fit_real_motion import HEAD, Clips, extended, fit_moving, load_with
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from favchat.data.corpus.clip import clip_from_row, label_vector
from favchat.data.corpus.schema import LABEL_COLUMNS
from favchat.face_scores.values import Calibration
from favchat.hub.shipped_model import ADAPTER
from favchat.labels.attributes import EMOTION
from favchat.model.scores import calibrate, measure
from favchat.training.batches.samples import some_clips
from favchat.video.mesh_features import SHAPE_FEATURES
from favchat.video.mouth import MOUTH_FEATURES

READ = ("smile", "close_eyes", "look_away")
STRENGTH = 0.1
"""Inverse regularisation of the regressions."""


def training_clips(corpus: str, split: str, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The mesh's measures (N, 66) and the labels (N, A) of a split."""
    rows = some_clips(corpus, split, 10**6).select([*LABEL_COLUMNS, "face_measures"]).to_pylist()
    measures = np.asarray([row["face_measures"] for row in rows])[:, MOUTH_FEATURES:]
    return measures, np.asarray([label_vector(clip_from_row(row), names) for row in rows])


def balanced_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Log-loss at equal frequency of both answers."""
    each = np.logaddexp(0, np.where(labels == 1, -logits, logits))
    return float((each[labels == 1].mean() + each[labels == 0].mean()) / 2)


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall of both answers."""
    return float(((logits[labels == 1] > 0).mean() + (logits[labels == 0] <= 0).mean()) / 2)


def emotion_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Cross-entropy of (N, 8) logits."""
    shares = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float(-shares[np.arange(len(labels)), labels].mean())


def best_weight(loss, told: np.ndarray, read: np.ndarray) -> float:
    """Of what the mesh tells, beside what the adapter tells; both may be scaled to fit."""
    found = minimize(lambda by: loss(by[0] * told + by[1] * read), [1.0, 0.5], bounds=[(1e-3, None), (0.0, None)]).x
    return float(found[1] / found[0])


def main() -> None:
    """Fit, measure on the other people, and write the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--train", default="train", help="split of the training clips")
    parser.add_argument("--photos", default="val", help="split of held-out moved photos")
    parser.add_argument("--real", default="real", help="split of the real windows")
    arguments = parser.parse_args()
    with safe_open(ADAPTER, framework="pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    if "face_mesh" in about:
        raise SystemExit(f"{ADAPTER} was fitted before; take the weights of the training")
    tensors, config = extended(tensors, about, "blink", "face_mesh")
    names = list(config.adapter.attributes)
    shapes, labels = training_clips(arguments.corpus, arguments.train, names)
    shapes = shapes[:, :SHAPE_FEATURES]
    model, processor = load_with(tensors, config, about)
    photos = Clips(arguments.corpus, arguments.photos, model, processor)
    real = Clips(arguments.corpus, arguments.real, model, processor)
    weight, bias = tensors[f"{HEAD}mesh.weight"], tensors[f"{HEAD}linear.bias"]

    def take(column: int, slopes: np.ndarray, constant: float, by: float) -> None:
        weight[column, :SHAPE_FEATURES] = torch.from_numpy(by * slopes).float()
        bias[column] += by * constant

    for name in READ:
        column = names.index(name)
        known = labels[:, column] >= 0
        found = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=3000)
        found.fit(shapes[known], labels[known, column])
        first = (photos.labels[:, column] >= 0) & photos.first_half
        read = found.decision_function(photos.mesh[:, :SHAPE_FEATURES])
        truth = photos.labels[first, column]
        by = best_weight(
            lambda logits, truth=truth: balanced_loss(logits, truth), photos.logits[first, column], read[first]
        )
        take(column, found.coef_[0], float(found.intercept_[0]), by)
        rest = (photos.labels[:, column] >= 0) & ~photos.first_half
        told = [photos.logits[rest, column] + share * read[rest] for share in (0, by)]
        before, after = (balanced_accuracy(logits, photos.labels[rest, column]) for logits in told)
        print(f"{name}: weight {by:.2f}; balanced accuracy on half B {before:.3f} -> {after:.3f}")

    emotions = [names.index(emotion.name) for emotion in EMOTION]
    known = (labels[:, emotions] >= 0).all(axis=1)
    truth = labels[known][:, emotions].argmax(axis=1)
    found = LogisticRegression(C=STRENGTH, max_iter=3000).fit(shapes[known], truth)
    # What is read knows how frequent each emotion was in training, which the adapter's logits know already.
    constants = found.intercept_ - np.log(np.bincount(truth)[found.classes_] / len(truth))
    first = (photos.labels[:, emotions] >= 0).all(axis=1) & photos.first_half
    read = np.zeros((len(photos.mesh), len(EMOTION)))
    read[:, found.classes_] = photos.mesh[:, :SHAPE_FEATURES] @ found.coef_.T + constants
    true = photos.labels[first][:, emotions].argmax(axis=1)
    by = best_weight(lambda logits: emotion_loss(logits, true), photos.logits[first][:, emotions], read[first])
    for place, emotion in enumerate(found.classes_):
        take(emotions[emotion], found.coef_[place], float(constants[place]), by)
    print(f"emotions: weight {by:.2f}")

    blink = names.index("blink")
    known = real.labels[:, blink] >= 0
    closing, still = real.mesh[:, SHAPE_FEATURES:], photos.mesh[photos.first_half, SHAPE_FEATURES:]
    pairs = []
    for person in sorted(set(real.people)):
        this = np.asarray([one == person for one in real.people]) & known
        if this.any():
            slope, constant = fit_moving(closing[known & ~this], real.labels[known & ~this, blink], still)
            scores = 1 / (1 + np.exp(-(closing[this] @ slope + constant)))
            pairs += list(zip(scores.tolist(), real.labels[this, blink].tolist(), strict=True))
    measured = measure(pairs)
    print(f"blinking, each person left out: {measured}")
    for part in ("A", "all"):
        chosen = known & (real.first_half if part == "A" else True)
        slope, constant = fit_moving(closing[chosen], real.labels[chosen, blink], still)
        if part == "A":
            rest = known & ~real.first_half
            told, truth = closing[rest] @ slope + constant > 0, real.labels[rest, blink] == 1
            others = photos.mesh[~photos.first_half, SHAPE_FEATURES:] @ slope + constant > 0
            print(f"blinking, half B: told of {told[truth].mean():.3f} of {truth.sum()} windows with a blink,")
            print(f"  of {told[~truth].mean():.3f} of {(~truth).sum()} without, of {others.mean():.3f} of moved photos")
    weight[blink, SHAPE_FEATURES:] = torch.from_numpy(slope).float()
    bias[blink] = constant
    present = real.labels[known, blink].mean()
    tensors[f"{HEAD}prior"][blink] = float(np.log(present / (1 - present)))

    model, processor = load_with(tensors, config, about)
    fitted = Clips(arguments.corpus, arguments.photos, model, processor)
    new = calibrate(
        torch.from_numpy(fitted.logits),
        tensors[f"{HEAD}prior"],
        torch.from_numpy(fitted.labels).long(),
        names,
        [int(not first) for first in fitted.first_half],
    )
    before = json.loads(about["calibration"])
    rows = asdict(new)
    rows["measured"]["talk"] = before["measured"]["talk"]
    if measured is not None:
        rows["measured"]["blink"] = asdict(measured)
    Calibration(**rows)
    about["calibration"] = json.dumps(rows, indent=1, sort_keys=True) + "\n"
    about["model"] = json.dumps(config.model_dump(mode="json"))
    about["face_mesh"] = "fitted"
    save_file({name: value.half().contiguous() for name, value in tensors.items()}, ADAPTER, metadata=about)
    print(f"{ADAPTER}: {ADAPTER.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
