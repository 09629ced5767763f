"""Calibrates a trained model's attribute predictions on held-out clips and writes the result beside its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from favchat.config import Config, SamplesConfig, StageConfig
from favchat.data.corpus.ledger import shard_rows
from favchat.face_scores.values import Calibration
from favchat.hub.load import load
from favchat.io.paths import path_of
from favchat.model.scores import calibrate
from favchat.training.batches.attribute_labels import read_labels
from favchat.training.batches.index import read_index
from favchat.training.batches.shard_reader import ClipReader
from favchat.training.features.feature_cache import stage_features

FEWEST_CLIPS = 50
"""Held-out clips that it takes to calibrate a model."""
CLIPS = 32
"""Clips that the adapter sees at once."""


def calibrate_model(config: Config, stage: StageConfig, folder: Path) -> Calibration | None:
    """Fit temperatures on half of the people of ``training.val_split``, measure on the other half, write both.

    Args:
        config: ``data.out`` and ``training.val_split`` are used.
        stage: The stage that trained the model last; its cached features are used where they exist.
        folder: The model's directory.

    Returns:
        What was written; None where the model predicts no attributes or the corpus has too few held-out clips.

    Raises:
        ConfigError: The model or the corpus cannot be read.
        TrainingError: The features cannot be computed.
    """
    out, split = config.data.out or "", config.training.val_split
    if split not in shard_rows(path_of(out), ["split"])["split"].unique().to_pylist():
        return None
    model, processor = load(str(folder))
    head = model.model.adapter.attribute_head
    if head is None:
        return None
    if stage.frames is not None:
        processor.num_frames = stage.frames
    index = read_index(out, [SamplesConfig(task="attributes", split=split)], split)
    if len(index.clip_ids) < FEWEST_CLIPS:  # too few to estimate a temperature
        return None
    features = stage_features(config, stage, str(folder), index.files)
    reader = ClipReader(index, features, processor.num_frames)
    logits = []
    with torch.inference_mode():
        for begin in range(0, len(index.clip_ids), CLIPS):
            numbers = np.arange(begin, min(begin + CLIPS, len(index.clip_ids)))
            reader.prepare(numbers)
            inputs = processor.video_inputs([reader.read(int(number)) for number in numbers])
            logits.append(model.model.get_video_features(**inputs).attribute_logits)
    names = list(index.clip_ids)
    found = calibrate(
        torch.cat(logits),
        head.get_buffer("prior"),
        torch.from_numpy(read_labels(out, names, processor.attributes)).long(),
        processor.attributes,
        _halves(out, names),
    )
    found.write(folder)
    card = folder / "README.md"
    if card.is_file():
        card.write_text(with_attributes(card.read_text(), found, split))
    return found


def with_attributes(card: str, found: Calibration, split: str) -> str:
    """Insert a section on attributes into a model card, before the section on use; replaces an earlier one.

    Args:
        card: The card.
        found: What was measured.
        split: The held-out split.
    """
    before, heading, after = card.partition(f"\n{SECTION}\n")
    after = after[after.index("\n## ") :] if heading and "\n## " in after else after if heading else ""
    if not heading:
        before, use, rest = card.partition("\n## Use\n")
        after = f"{use}{rest}"
    rows = [
        f"| {name} | {one.present} / {one.absent} | {one.balanced_accuracy:.3f} |"
        for name, one in sorted(found.measured.items(), key=lambda pair: -pair[1].balanced_accuracy)
    ]
    errors = ", ".join(f"{family} {error:.3f}" for family, error in sorted(found.error.items()))
    table = "\n".join(["| attribute | has it / has not | balanced accuracy |", "|---|---|---|", *rows])
    about = (
        f"Scores on the clips of `{split}`, people that it did not learn from. Temperatures of the probabilities were\n"
        "learnt on half of these people; their expected calibration error on the other half, by family:\n"
        f"{errors}."
    )
    return f"{before}\n{SECTION}\n\n{about}\n\n{table}\n{after}"


SECTION = "## Attributes"


def _halves(out: str, clip_ids: list[str]) -> list[int]:
    """Assign each clip to half 0 or 1, by a hash of its person."""
    rows = shard_rows(path_of(out), ["clip_id", "identity"]).to_pylist()
    people = {row["clip_id"]: row["identity"] or row["clip_id"] for row in rows}
    return [hashlib.sha256(f"half{people[clip]}".encode()).digest()[0] % 2 for clip in clip_ids]
