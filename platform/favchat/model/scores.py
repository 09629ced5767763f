"""How likely each taught attribute is in a clip: one forward pass of encoders and adapter, no words.

A score is the probability were the attribute present in half of all clips: above 0.5 the model says yes, below no. The
probability beside it holds how frequent the attribute was in training, and is calibrated on held-out clips where the
model's directory has a calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from favchat.face_scores.values import AttributeScore, Calibration, Measured
from favchat.labels.attributes import EMOTION, attribute
from favchat.model.modeling_favchat import FaVChatForConditionalGeneration
from favchat.model.processing_favchat import FaceClip, FaVChatProcessor

EMOTIONS = frozenset(emotion.name for emotion in EMOTION)


@torch.inference_mode()
def attribute_scores(
    model: FaVChatForConditionalGeneration,
    processor: FaVChatProcessor,
    clips: Sequence[FaceClip | Mapping[str, Tensor]],
    calibration: Calibration | None = None,
) -> list[list[AttributeScore]]:
    """Score every taught attribute of each clip.

    Args:
        model: The model, on any device.
        processor: Its processor.
        clips: V clips, or their features; see :meth:`FaVChatProcessor.video_inputs`.
        calibration: That of the model's directory, :meth:`Calibration.read`.

    Returns:
        For each clip a score for each attribute that the model was taught, in its order; none for a model without
        attributes, and none for a clip in which no face is visible.
    """
    head = model.model.adapter.attribute_head
    if head is None:
        return [[] for _ in clips]
    inputs = {name: tensor.to(model.device) for name, tensor in processor.video_inputs(clips).items()}
    logits = model.model.get_video_features(**inputs).attribute_logits
    seen = inputs["face_visible"].any(dim=1).tolist()
    rows = scores_of(logits.cpu(), head.get_buffer("prior").cpu(), processor.attributes, calibration or Calibration())
    return [row if visible else [] for row, visible in zip(rows, seen, strict=True)]


def scores_of(
    logits: Tensor, prior: Tensor, names: Sequence[str], calibration: Calibration
) -> list[list[AttributeScore]]:
    """Scores from logits `(V, A)` and the logarithm `(A,)` of how frequent each attribute was in training."""
    heat = torch.tensor([calibration.temperatures.get(attribute(name).family, 1.0) for name in names])
    cooled = logits / heat
    emotional = [index for index, name in enumerate(names) if name in EMOTIONS]
    scores, probabilities = cooled.sigmoid(), (cooled + prior).sigmoid()
    if emotional:
        shares = cooled[:, emotional].softmax(dim=-1)
        scores[:, emotional], probabilities[:, emotional] = shares, shares
    return [
        [
            AttributeScore(name, attribute(name).family, score, probability, calibration.measured.get(name))
            for name, score, probability in zip(names, row_scores, row_probabilities, strict=True)
        ]
        for row_scores, row_probabilities in zip(scores.tolist(), probabilities.tolist(), strict=True)
    ]


def calibrate(
    logits: Tensor, prior: Tensor, labels: Tensor, names: Sequence[str], groups: Sequence[int]
) -> Calibration:
    """Learn a temperature for each family on one half of the people, and measure on the other.

    Args:
        logits: `(V, A)` of held-out clips.
        prior: `(A,)`.
        labels: `(V, A)` 1, 0 or ``favchat.labels.attributes.UNKNOWN``.
        names: A attributes.
        groups: Of each clip 0 or 1: whether its person is learnt from or measured on.
    """
    half = torch.tensor(groups)
    families: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        families.setdefault(attribute(name).family, []).append(index)
    temperatures, errors = {}, {}
    for family, columns in families.items():
        known = labels[:, columns] >= 0
        for side, keep in ((0, half == 0), (1, half == 1)):
            chosen = known & keep[:, None]
            if not chosen.any():
                continue
            if side == 0:
                temperatures[family] = _temperature(
                    logits[:, columns], prior[columns], labels[:, columns], chosen, family
                )
            else:
                heat = temperatures.get(family, 1.0)
                values = _probabilities(logits[:, columns] / heat, prior[columns], family)
                errors[family] = calibration_error(values[chosen], labels[:, columns][chosen])
    measured = {}
    cooled = Calibration(temperatures)
    rows = scores_of(logits, prior, names, cooled)
    for index, name in enumerate(names):
        pairs = [
            (row[index].score, int(label))
            for row, label in zip(rows, labels[:, index].tolist(), strict=True)
            if label >= 0
        ]
        found = measure(pairs)
        if found is not None:
            measured[name] = found
    return Calibration(temperatures, errors, measured)


def measure(pairs: Sequence[tuple[float, int]]) -> Measured | None:
    """How well scores tell a label; None where all clips have the same.

    Args:
        pairs: A score and a label, 1 or 0, for each clip.
    """
    present, absent = [[score for score, label in pairs if label == kind] for kind in (1, 0)]
    if not present or not absent:
        return None
    accuracy = (sum(s > 0.5 for s in present) / len(present) + sum(s <= 0.5 for s in absent) / len(absent)) / 2
    ordered = sorted(pairs, reverse=True)
    return Measured(
        accuracy, len(present), len(absent), _bound(ordered, 1), _bound([(s, 1 - y) for s, y in ordered[::-1]], 1)
    )


PRECISION = 0.9
"""Of the labels that a model gives to clips by itself so many are to be right."""
FEWEST = 5
"""Clips beyond a bound that it takes to believe it."""


def _bound(ordered: Sequence[tuple[float, int]], wanted: int) -> float | None:
    """The last score, from the surest on, up to which `PRECISION` of the labels are as wanted."""
    right, bound = 0, None
    for number, (score, label) in enumerate(ordered, 1):
        right += label == wanted
        if number >= FEWEST and right / number >= PRECISION:
            bound = score
    return bound


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 10) -> float:
    """Expected calibration error of binary probabilities `(n,)`, in bins of equal width (Guo et al. 2017)."""
    places = (probabilities * bins).long().clamp(max=bins - 1)
    total = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            gap = probabilities[inside].mean() - labels[inside].float().mean()
            total += abs(gap.item()) * inside.float().mean().item()
    return total


def _probabilities(logits: Tensor, prior: Tensor, family: str) -> Tensor:
    return logits.softmax(dim=-1) if family == "emotion" else (logits + prior).sigmoid()


def _temperature(logits: Tensor, prior: Tensor, labels: Tensor, chosen: Tensor, family: str) -> float:
    """The temperature of least negative log-likelihood among powers of a small step, from a quarter to four."""
    targets = labels.clamp(min=0).float()
    best, lowest = 1.0, math.inf
    for step in range(-20, 21):
        heat = 2 ** (step / 10)
        values = _probabilities(logits / heat, prior, family).clamp(1e-6, 1 - 1e-6)
        loss = -(targets * values.log() + (1 - targets) * (1 - values).log())[chosen].mean().item()
        if loss < lowest:
            best, lowest = heat, loss
    return best
