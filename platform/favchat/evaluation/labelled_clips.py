"""The columns of a corpus that the evaluation reads on the driver: labels and hashes, no images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from favchat.config import Config, ConfigError
from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.data.corpus.ledger import shard_rows
from favchat.data.corpus.parquet_files import read_folder
from favchat.data.corpus.requirements import NoAnnotationsError, check_corpus
from favchat.data.corpus.schema import ANNOTATIONS, LABEL_COLUMNS
from favchat.io.paths import path_of


class NothingToAskError(ConfigError):
    """A corpus, or a split of it, has no clips for a task."""


class LabelledClip(NamedTuple):
    """A clip of the shards."""

    clip: Clip
    source: str
    """Kind of source."""
    duplicate_hash: str

    @property
    def person(self) -> str:
        """Its identity, or if that is unknown the clip's id."""
        return f"clip/{self.clip.id}" if self.clip.identity is None else self.clip.identity


def read_clips(out: str) -> list[LabelledClip]:
    """All clips of a corpus, ordered by id.

    Raises:
        ConfigError: There are no shards, or one cannot be read.
    """
    table = shard_rows(path_of(out), [*LABEL_COLUMNS, "duplicate_hash"])
    return [LabelledClip(clip_from_row(row), row["source"], row["duplicate_hash"]) for row in table.to_pylist()]


def asked_split(config: Config, clips: Sequence[LabelledClip]) -> str:
    """``evaluation.split``, or by default test or val, whichever exists.

    Raises:
        ConfigError: The corpus has no clip of it, or of neither.
    """
    there = sorted({labelled.clip.split for labelled in clips})
    wanted = config.evaluation.split
    for split in [wanted] if wanted else ["test", "val"]:
        if split in there:
            return split
    missing = f"split '{wanted}'" if wanted else "split 'test' or 'val'"
    raise ConfigError(
        f"data.out = {config.data.out}: no clip of {missing}, there is {', '.join(there)}; set evaluation.split"
    )


def training_corpora(config: Config, clips: Sequence[LabelledClip]) -> dict[str, list[LabelledClip]]:
    """The clips that the model was trained on, as far as known: corpus -> its clips of the training split.

    Args:
        config: The whole configuration; ``evaluation.trained_on`` and ``training.split`` are used.
        clips: All clips of ``data.out``.

    Raises:
        ConfigError: A corpus has no shards.
    """
    out, named = config.data.out or "", config.evaluation.trained_on
    corpora = {out: clips} if named is None else {name: clips if name == out else read_clips(name) for name in named}
    split = config.training.split
    return {name: [one for one in some if one.clip.split == split] for name, some in corpora.items()}


def read_annotations(out: str, task: str, split: str) -> pa.Table:
    """The selected annotations of one task and split.

    Raises:
        NothingToAskError: There are no annotations, or they are empty.
        ConfigError: One cannot be read.
    """
    try:
        check_corpus(out, annotations=True)
    except NoAnnotationsError as error:
        raise NothingToAskError(str(error)) from error
    folder = path_of(out) / ANNOTATIONS
    columns = ["clip_id", "task", "split", "question", "answer", "answer_type", "family", "level", "truth", "selected"]
    wanted = (pc.field("task") == task) & (pc.field("split") == split) & pc.field("selected")
    return read_folder(folder, columns).filter(wanted).sort_by([("clip_id", "ascending"), ("question", "ascending")])


def some_of(clips: Sequence[LabelledClip], count: int | None) -> list[LabelledClip]:
    """At most `count` clips, evenly spaced."""
    if count is None or count >= len(clips):
        return list(clips)
    return [clips[place] for place in np.linspace(0, len(clips), count, endpoint=False).astype(int)]
