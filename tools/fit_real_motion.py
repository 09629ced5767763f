"""Fit what moved photos cannot teach to the shipped model, on labelled windows of real videos.

    python tools/fit_real_motion.py CORPUS --real real --photos val

Photos that a program moves show no talking, and heads of real people move a little all the time, which the model takes
for nodding and shaking. On people of half A of the real windows this fits (1) whether somebody talks, by a logistic
regression on :func:`favchat.video.mouth.mouth_features`, photos counting as silent, and (2) how far the logits of head
motions are lowered: until at most one in twenty windows without a motion is told to have it, but not so far that one in
a hundred of the moved photos loses its own. Both are then measured on half B; talking is fitted once more on both
halves for the weights that are written, and measured by leaving out one person after the other.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

from favchat.config import ModelConfig
from favchat.face_scores.values import Calibration
from favchat.hub.shipped_model import ADAPTER
from favchat.model.build import build
from favchat.model.lora import add_lora
from favchat.model.scores import measure
from favchat.training.batches.samples import labelled_clips, some_clips
from favchat.video.motion import MOTION_FEATURES
from favchat.video.mouth import MOUTH_FEATURES

HEAD_MOTIONS = ("nod", "shake_head", "head_wagging")
FALSE_ALARMS = 0.05
LOST = 0.01
STRENGTH = 0.1
"""Inverse regularisation of the regression: three measures, some thirty people."""
HEAD = "model.adapter.attribute_head."


class Clips:
    """What is known of the clips of a split."""

    def __init__(self, corpus: str, split: str, model: torch.nn.Module, processor) -> None:
        table = some_clips(corpus, split, 10**6)
        inputs = [labelled_clips(processor, table.slice(begin, 32)) for begin in range(0, len(table), 32)]
        self.people = [row["identity"] or row["clip_id"] for row in table.select(["identity", "clip_id"]).to_pylist()]
        self.first_half = np.asarray([half(person) == "A" for person in self.people])
        self.labels = torch.cat([batch.pop("attribute_labels") for batch in inputs]).numpy()
        measures = torch.cat([batch["face_motion"] for batch in inputs])[:, MOTION_FEATURES:].numpy()
        self.mouth, self.mesh = np.split(measures, [MOUTH_FEATURES], axis=1)
        with torch.inference_mode():
            self.logits = torch.cat([_logits(model, batch) for batch in inputs]).numpy()


def half(person: str) -> str:
    """``A`` or ``B``, by a hash of whom a clip shows."""
    return "AB"[hashlib.sha256(f"half{person}".encode()).digest()[0] % 2]


def _logits(model, inputs) -> torch.Tensor:
    pixels = [inputs.pop(name) for name in ("pixel_values_videos", "pixel_values_faces")]
    return model.model.get_video_features(**model.model.encode_frames(*pixels), **inputs).attribute_logits


def fit_moving(mouth: np.ndarray, talks: np.ndarray, silent: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights `(3,)` and bias of the regression; talking and silence count alike, photos half of the silence."""
    values, labels = np.concatenate([mouth, silent]), np.concatenate([talks, np.zeros(len(silent))])
    groups = np.concatenate([talks, np.full(len(silent), 2)])
    share = {1: 0.5, 0: 0.25, 2: 0.25}
    weights = np.asarray([share[group] / (groups == group).sum() for group in groups])
    mean, spread = values.mean(axis=0), values.std(axis=0)
    found = LogisticRegression(C=STRENGTH).fit((values - mean) / spread, labels, weights / weights.mean())
    slope = found.coef_[0] / spread
    return slope, float(found.intercept_[0] - slope @ mean)


def shift_of(windows: np.ndarray, photos: np.ndarray) -> float:
    """By how much a head motion's logits are lowered.

    Args:
        windows: Logits of real windows without the motion.
        photos: Logits of photos that were moved so.
    """
    return float(max(0.0, min(np.quantile(windows, 1 - FALSE_ALARMS), np.quantile(photos, LOST))))


def extended(
    tensors: dict[str, torch.Tensor], about: dict[str, str], added: str, reads: str
) -> tuple[dict[str, torch.Tensor], ModelConfig]:
    """The shipped tensors with a place for one more attribute, and for the measures that it is read from.

    New rows are zero; the token's name is the word's embedding.

    Args:
        tensors: The shipped ones.
        about: What is said of them.
        added: The attribute.
        reads: The setting of the adapter by which its head reads the measures.
    """
    settings = json.loads(about["model"])
    names = settings["adapter"]["attributes"]
    # A setting that came later is off in what was trained before.
    settings["adapter"].setdefault("face_mesh", False)
    settings["adapter"] |= {"attributes": [*names, *([added] if added not in names else [])], reads: True}
    config = ModelConfig(**settings)
    model, _ = build(config)
    if any(".lora_" in name for name in tensors):
        add_lora(model, config.lora)
    found = {}
    for name, fresh in model.state_dict().items():
        if not name.startswith("model.adapter.") and ".lora_" not in name:
            continue
        old = tensors.get(name)
        if old is None or old.shape != fresh.shape:
            new = (
                fresh.detach().float().clone()
                if name.endswith("attribute_tokens.name.weight")
                else torch.zeros_like(fresh)
            )
            if old is not None:
                new[: len(old)] = old
            old = new
        found[name] = old.float()
    return found, config


def main() -> None:
    """Fit, measure on the other people, and write the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--real", default="real", help="split of the real windows")
    parser.add_argument("--photos", default="val", help="split of the moved photos")
    arguments = parser.parse_args()
    with safe_open(ADAPTER, framework="pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    if "real_motion" in about:
        raise SystemExit(f"{ADAPTER} was fitted before; take the weights of the training")
    tensors, config = extended(tensors, about, "talk", "mouth_motion")
    names = list(config.adapter.attributes)
    model, processor = load_with(tensors, config, about)
    real = Clips(arguments.corpus, arguments.real, model, processor)
    photos = Clips(arguments.corpus, arguments.photos, model, processor)

    talk = names.index("talk")
    known = real.labels[:, talk] >= 0
    silent = photos.mouth[photos.first_half]
    for part in ("A", "all"):
        chosen = known & (real.first_half if part == "A" else True)
        slope, bias = fit_moving(real.mouth[chosen], real.labels[chosen, talk], silent)
        if part == "A":
            rest = known & ~real.first_half
            told = real.mouth[rest] @ slope + bias > 0
            truth = real.labels[rest, talk] == 1
            others = photos.mouth[~photos.first_half] @ slope + bias > 0
            print(f"talking, half B: told of {told[truth].mean():.3f} of {truth.sum()} windows with speech,")
            print(f"  of {told[~truth].mean():.3f} of {(~truth).sum()} without, of {others.mean():.3f} of moved photos")
    pairs = []
    for person in sorted(set(real.people)):
        this = np.asarray([one == person for one in real.people]) & known
        if this.any():
            w, b = fit_moving(real.mouth[known & ~this], real.labels[known & ~this, talk], silent)
            scores = 1 / (1 + np.exp(-(real.mouth[this] @ w + b)))
            pairs += list(zip(scores.tolist(), real.labels[this, talk].tolist(), strict=True))
    measured = measure(pairs)
    print(f"talking, each person left out: {measured}")
    tensors[f"{HEAD}mouth.weight"][talk] = torch.from_numpy(slope).float()
    tensors[f"{HEAD}linear.bias"][talk] = bias
    prior = tensors[f"{HEAD}prior"]
    prior[talk] = float(np.log((real.labels[:, talk] == 1).sum() / (real.labels[:, talk] == 0).sum()))

    for name in HEAD_MOTIONS:
        column = names.index(name)
        without = (real.labels[:, column] == 0) & real.first_half
        moved = (photos.labels[:, column] == 1) & photos.first_half
        shift = shift_of(real.logits[without, column], photos.logits[moved, column])
        tensors[f"{HEAD}linear.bias"][column] -= shift
        others = (real.labels[:, column] == 0) & ~real.first_half
        alarms = [(real.logits[others, column] > bound).mean() for bound in (0, shift)]
        rest = (photos.labels[:, column] == 1) & ~photos.first_half
        kept = [(photos.logits[rest, column] > bound).mean() for bound in (0, shift)]
        print(
            f"{name}: lowered by {shift:.2f}; half B: false alarms in real windows {alarms[0]:.3f} -> {alarms[1]:.3f}, "
        )
        print(f"  moved photos told {kept[0]:.3f} -> {kept[1]:.3f}")

    about["model"] = json.dumps(config.model_dump(mode="json"))
    about["real_motion"] = "fitted"
    if "calibration" in about and measured is not None:
        calibration = json.loads(about["calibration"])
        calibration["measured"]["talk"] = asdict(measured)
        Calibration(**calibration)
        about["calibration"] = json.dumps(calibration, indent=1, sort_keys=True) + "\n"
    save_file({name: value.half().contiguous() for name, value in tensors.items()}, ADAPTER, metadata=about)
    print(f"{ADAPTER}: {ADAPTER.stat().st_size / 1e6:.1f} MB")


def load_with(tensors: dict[str, torch.Tensor], config: ModelConfig, about: dict[str, str]):
    """The model with given trained tensors, and its processor with the shipped clip specification."""
    from favchat.video.specification import ClipSpecification

    model, processor = build(config)
    if any(".lora_" in name for name in tensors):
        add_lora(model, config.lora)
    model.load_state_dict(tensors, strict=False)
    processor.clip_specification = ClipSpecification.from_dict(json.loads(about["clip"]))
    return model.eval(), processor


if __name__ == "__main__":
    main()
