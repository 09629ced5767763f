"""Attribute labels of a stage's clips, read from the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from favchat.data.corpus.clip import clip_from_row, label_vector
from favchat.data.corpus.ledger import shard_rows
from favchat.data.corpus.schema import LABEL_COLUMNS
from favchat.io.paths import path_of
from favchat.labels.attributes import UNKNOWN


def read_labels(out: str, clip_ids: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Look up labels in the ledger.

    Args:
        out: Folder of the corpus (``data.out``).
        clip_ids: c clips.
        names: A attributes.

    Returns:
        `(c, A)` int8: 1, 0 or ``favchat.labels.attributes.UNKNOWN``.

    Raises:
        ConfigError: There are no shards, or one cannot be read.
    """
    labels = np.full((len(clip_ids), len(names)), UNKNOWN, dtype=np.int8)
    if not names:
        return labels
    number = {clip: index for index, clip in enumerate(clip_ids)}
    for batch in shard_rows(path_of(out), LABEL_COLUMNS).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            if row["clip_id"] in number:
                labels[number[row["clip_id"]]] = label_vector(clip_from_row(row), names)
    return labels


def log_prior(labels: np.ndarray) -> np.ndarray:
    """Log-odds of each attribute's frequency among its known labels.

    Args:
        labels: `(c, A)`, see :func:`read_labels`.

    Returns:
        `(A,)` float32, with add-one smoothing, so that it is finite for attributes that are always or never present.
    """
    present, absent = (labels == 1).sum(axis=0) + 1.0, (labels == 0).sum(axis=0) + 1.0
    return np.log(present / absent).astype(np.float32)
