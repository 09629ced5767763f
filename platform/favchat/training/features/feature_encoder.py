"""Runs a stage's encoders over shards, for the cache of their features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from transformers import PreTrainedConfig
from upath import UPath

from favchat.config import Config, StageConfig
from favchat.data.corpus.parquet_files import arrow_source
from favchat.io.files import write_bytes_whole, write_text_whole
from favchat.io.paths import path_of
from favchat.model import FaVChatModel, FaVChatProcessor
from favchat.model.encoders_alone import FaVChatEncoders
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip
from favchat.training.batches.shard_reader import feature_table
from favchat.training.features.fingerprint import ENCODERS, shard_fingerprint
from favchat.training.stage.precision import cast_frozen, stage_precision
from favchat.training.stage.starting_model import starting_encoders

FEATURES = "features"
FORMAT = 4
"""Counts up when the files or what is in them change."""
CLIPS = 8
"""Clips that the encoders see at once."""


class Encoder:
    """The encoders of a stage and their folder in the feature cache.

    Args:
        config: The configuration; ``data.out`` is the corpus.
        stage: The stage.
        init: Its initial model or checkpoint, see :func:`favchat.training.stage.starting_model.starting_encoders`.
    """

    def __init__(self, config: Config, stage: StageConfig, init: str | None):
        self._model, self._processor = starting_encoders(config.model, config.seed, init)
        if stage.frames is not None:
            self._processor.num_frames = stage.frames
        self._device = torch.device("cuda" if config.training.use_gpu and torch.cuda.is_available() else "cpu")
        self._model.eval().requires_grad_(False)
        # The precision of training: the next stage, which loads the saved weights, then finds the same features.
        cast_frozen(self._model, stage_precision(stage, config.training.use_gpu))
        self.about = encoder_settings(self._model, self._processor)
        self.folder = features_folder(config.data.out or "", self.about)

    def file(self, shard: str) -> UPath:
        """Path of a shard's feature file, which need not exist.

        Raises:
            OSError: The shard cannot be read.
        """
        return feature_file(self.folder, shard)

    def encode(self, shard: str) -> str:
        """Write the features of a shard, unless they exist; return their path.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
            ValueError: A picture cannot be decoded.
        """
        file = self.file(shard)
        if not file.exists():
            clip_ids: list[str] = []
            parts: list[dict[str, np.ndarray]] = []
            for ids, tensors in self._batches(path_of(shard)):
                clip_ids += ids
                parts.append({name: value.numpy() for name, value in tensors.items()})
            tables = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text_whole(self.folder / "about.json", json.dumps(self.about, indent=2, sort_keys=True))
            write_bytes_whole(file, feature_table(clip_ids, tables))
        return str(file)

    @torch.no_grad()
    def _batches(self, shard: UPath) -> Iterator[tuple[list[str], dict[str, Tensor]]]:
        self._model.to(self._device)  # lazily: computing file names needs no GPU memory
        with arrow_source(shard) as source:
            for batch in pq.ParquetFile(source).iter_batches(CLIPS, columns=CLIP_COLUMNS):
                rows = batch.to_pylist()
                clips = [read_clip(row, self._processor.num_frames) for row in rows]
                tensors = self._processor.video_inputs(clips)
                pixels = [tensors.pop(name).to(self._device) for name in ("pixel_values_videos", "pixel_values_faces")]
                encoded = self._model.encode_frames(*pixels)
                # Half precision suffices (values are clipped to its range), because the adapter normalises its input.
                limit = torch.finfo(torch.float16).max
                halves = {name: value.clamp(-limit, limit).half().cpu() for name, value in encoded.items()}
                yield [row["clip_id"] for row in rows], halves | tensors


def features_folder(out: str, about: Mapping[str, Any]) -> UPath:
    """Folder of some encoders' features in a corpus.

    Args:
        out: The corpus (``data.out``).
        about: Settings of the encoders, see :func:`encoder_settings`.
    """
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return path_of(out) / FEATURES / key


def feature_file(folder: UPath, shard: str) -> UPath:
    """Path of a shard's feature file, which need not exist, in the folder of some encoders.

    Raises:
        OSError: The shard cannot be read.
    """
    return folder / f"{shard_fingerprint(path_of(shard))}.arrow"


def encoder_settings(model: FaVChatEncoders | FaVChatModel, processor: FaVChatProcessor) -> dict[str, Any]:
    """Everything that a clip's features depend on, with the weights as a hash."""
    weights = hashlib.sha256()
    encoders = {name: getattr(model, name) for name in ENCODERS}
    for name, encoder in encoders.items():
        if encoder is None:  # its grid is 0
            continue
        for key, value in sorted(encoder.state_dict().items()):
            weights.update(f"{name}.{key} {value.dtype} {tuple(value.shape)} ".encode())
            weights.update(
                value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
                if value.ndim
                else str(value.item()).encode()
            )
    adapter = model.config.adapter_config
    settings = processor.video_processor.to_dict() | processor.to_dict()
    names = [name for name in settings if name.startswith(("image_", "face_", "num_frames"))]
    return {
        "format": FORMAT,
        "weights": weights.hexdigest(),
        "vision": _settings(model.config.vision_config),
        "face": _settings(model.config.face_config),
        "face_levels": model.config.face_levels,
        "mirror_faces": model.config.mirror_faces,
        "vision_cells": adapter.vision_grid * adapter.pool_window,
        "face_cells": adapter.face_grid * adapter.pool_window,
        "processor": {name: settings[name] for name in names},
    }


def _settings(config: PreTrainedConfig) -> dict[str, Any]:
    # Drop the dtype of loading: the precision of the weights is part of their hash.
    return {name: value for name, value in config.to_diff_dict().items() if name != "dtype"}


def compute_features(config: Config, stage: StageConfig, init: str | None, shards: Iterable[str]) -> dict[str, str]:
    """Compute a stage's missing features in this process.

    Args:
        config: As for :class:`Encoder`.
        stage: As for :class:`Encoder`.
        init: As for :class:`Encoder`.
        shards: Paths of the shards that the stage reads.

    Returns:
        The feature file of each shard, for :class:`favchat.training.batches.stage_source.StageSource`.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
        ConfigError: The model cannot be loaded.
    """
    encoder = Encoder(config, stage, init)
    return {shard: encoder.encode(shard) for shard in shards}
