"""Reads cached encoder features of clips, where a training stored them beside the shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from torch import Tensor
from upath import UPath

from favchat.io.paths import path_of
from favchat.model import FaVChatModel, FaVChatProcessor
from favchat.training.batches.shard_reader import open_features, read_features
from favchat.training.features.feature_encoder import encoder_settings, feature_file, features_folder


class CachedClips:
    """Looks features up by the encoders' weights and settings, so that features of other encoders are never used.

    Args:
        model: The model with the encoders.
        processor: Its processor.
    """

    def __init__(self, model: FaVChatModel, processor: FaVChatProcessor) -> None:
        self._about = encoder_settings(model, processor)
        self._files: dict[str, tuple[pa.RecordBatchFileReader, dict[str, int]] | None] = {}

    def read(self, clips: Sequence[Mapping[str, Any]]) -> list[dict[str, Tensor]] | None:
        """The features of clips, as input of `FaVChatProcessor.video_inputs`.

        Args:
            clips: Rows with ``clip_id``, and ``shard``, the path of its shard.

        Returns:
            The features of each clip; None if any are missing, since clips and features cannot be mixed in a batch.

        Raises:
            ConfigError: A file of the cache cannot be read.
            OSError: A shard cannot be read.
        """
        found = []
        for clip in clips:
            kept = self._kept(clip["shard"])
            if kept is None or clip["clip_id"] not in kept[1]:
                return None
            features = read_features(kept[0], kept[1][clip["clip_id"]])
            found.append({name: value for name, value in features.items() if name != "clip_id"})
        return found

    def _kept(self, shard: str) -> tuple[pa.RecordBatchFileReader, dict[str, int]] | None:
        """The opened feature file of a shard, and the row of each clip."""
        if shard not in self._files:
            corpus: UPath = path_of(shard).parent.parent
            file = feature_file(features_folder(str(corpus), self._about), shard)
            self._files[shard] = None
            if file.exists():
                reader = open_features(str(file))
                rows = range(reader.num_record_batches)
                self._files[shard] = reader, {reader.get_batch(row)["clip_id"][0].as_py(): row for row in rows}
        return self._files[shard]
