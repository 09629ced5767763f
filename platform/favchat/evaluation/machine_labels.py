"""Annotations of unlabelled clips, from the attribute scores of a trained model.

``scores/MODEL/SHARD.parquet`` in the corpus's folder holds a row for each clip of a shard: its id and the score of
every attribute that the model predicts, null if no face is visible. A score becomes a label if on the held-out clips of
the model's calibration nine of ten such scores were correct; scores between the bounds stay unknown. Human labels are
kept. The rows' ``source`` is ``model``, so that machine labels are not mistaken for human ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from favchat.config import Config, ConfigError
from favchat.data.annotate.everyday_writer import EverydayWriter, label_counts
from favchat.data.annotate.rows import Writer, Written, table_of
from favchat.data.corpus.clip import Clip, clip_from_row
from favchat.data.corpus.parquet_files import arrow_source, parquet_files, read_table, write_whole
from favchat.data.corpus.schema import LABEL_COLUMNS, SHARDS
from favchat.face_scores.values import Calibration, Measured
from favchat.hub.fingerprint import model_fingerprint
from favchat.io.paths import path_of
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA, Attribute
from favchat.model.scores import attribute_scores
from favchat.runtime.threads import available_threads
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip

SCORES = "scores"
CLIPS = 8
"""Clips that the encoders see at once."""


class ShardScorer:
    """Scores the clips of shards; an actor of Ray Data.

    Args:
        model: The model's directory or hub name.
        out: The corpus (``data.out``).
    """

    def __init__(self, model: str, out: str):
        import torch

        from favchat.hub.load import load

        torch.set_num_threads(available_threads())
        self._model, self._processor = load(model)
        self._calibration = Calibration.read(model)
        self._folder = scores_folder(out, model)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write the scores of the shard at ``row["shard"]``."""
        shard = path_of(row["shard"])
        names, rows = self._processor.attributes, []
        with arrow_source(shard) as source:
            for batch in pq.ParquetFile(source).iter_batches(CLIPS, columns=CLIP_COLUMNS):
                stored = batch.to_pylist()
                clips = [read_clip(one, self._processor.num_frames) for one in stored]
                scored = attribute_scores(self._model, self._processor, clips, self._calibration)
                for one, scores in zip(stored, scored, strict=True):
                    values = {score.name: score.score for score in scores}
                    rows.append({"clip_id": one["clip_id"], **{name: values.get(name) for name in names}})
        schema = pa.schema([("clip_id", pa.string()), *((name, pa.float32()) for name in names)])
        write_whole(pa.Table.from_pylist(rows, schema=schema), self._folder / shard.name)
        return {"shard": row["shard"]}


def scores_folder(out: str, model: str) -> UPath:
    """Folder of a model's scores in a corpus; named by fingerprint, so that another model at its path has its own."""
    return path_of(out) / SCORES / hashlib.sha256(model_fingerprint(model).encode()).hexdigest()[:16]


def score_corpus(config: Config, model: str) -> UPath:
    """Score every clip of ``data.out`` on the running Ray cluster, skipping shards that are scored already.

    Raises:
        ConfigError: There are no shards.
    """
    import ray

    from favchat.runtime.ray_data import quiet_execution

    out = config.data.out or ""
    folder = scores_folder(out, model)
    files = parquet_files(path_of(out) / SHARDS)
    if not files:
        raise ConfigError(f"data.out = {out}: no Parquet file in {path_of(out) / SHARDS}; run `favchat prepare` first")
    missing = [str(file) for file in files if not (folder / file.name).exists()]
    if missing:
        free = max(1, int(ray.available_resources().get("CPU", 1)))
        actors = ray.data.ActorPoolStrategy(min_size=1, max_size=min(len(missing), free))
        with quiet_execution():
            data = ray.data.from_items([{"shard": shard} for shard in missing], override_num_blocks=len(missing))
            arguments = {"model": model, "out": out}
            for _ in data.map(cast(Any, ShardScorer), compute=actors, fn_constructor_kwargs=arguments).iter_rows():
                pass
    return folder


@dataclass(frozen=True)
class ModelWriter(Writer):
    """The everyday writer, with a model's predictions in place of missing labels."""

    config: Config
    model: str
    """The model's directory or hub name."""
    name: str = "model"
    surveys = True

    @cached_property
    def _measured(self) -> Mapping[str, Measured]:
        """Which scores are trusted, by attribute."""
        measured = Calibration.read(self.model).measured
        if not measured:
            raise ConfigError(
                f"annotate.model = {self.model}: it has no calibration.json that says which scores to trust; a "
                "training with attributes and held-out clips writes one"
            )
        return measured

    @property
    def _everyday(self) -> EverydayWriter:
        return EverydayWriter(self.config.seed, self.config.annotate.questions_per_attribute, self.name)

    def version(self, out: UPath) -> str:
        """The model's fingerprint."""
        return model_fingerprint(self.model)

    def begin(self, out: UPath) -> None:
        """Score the clips.

        Raises:
            ConfigError: There are no shards, or the model's directory has no calibration.
        """
        _ = self._measured
        score_corpus(self.config, self.model)

    def extend(self, rows: pa.Table, out: UPath) -> pa.Table:
        """Add each clip's ``model_scores``, in the order of the attributes of the calibration."""
        folder, names = scores_folder(str(out), self.model), list(self._measured)
        files = [folder / name.rpartition("/")[2] for name in rows["file"].unique().to_pylist()]
        empty = pa.table({"clip_id": pa.array([], pa.string()), **{name: pa.array([], pa.float32()) for name in names}})
        scores = pa.concat_tables([empty, *(read_table(file, ["clip_id", *names]) for file in files)])
        scores = scores.take(pc.index_in(rows["clip_id"], scores["clip_id"].combine_chunks()))
        values = [list(row.values()) for row in scores.select(names).to_pylist()]
        return rows.append_column("model_scores", pa.array(values, pa.list_(pa.float32())))

    def survey(self, rows: pa.Table) -> Counter[tuple[str, bool]]:
        """As the everyday writer's."""
        return label_counts(self._clips(rows))

    def write(self, rows: pa.Table, survey: Counter[tuple[str, bool]]) -> Written:
        """As the everyday writer's."""
        writer = self._everyday
        rates = writer.rates_of(survey)
        return Written(table_of([row for clip in self._clips(rows) for row in writer.rows(clip, rates)]))

    def _clips(self, rows: pa.Table) -> Iterator[Clip]:
        for row in rows.select([*LABEL_COLUMNS, "model_scores"]).to_pylist():
            scores = dict(zip(self._measured, row.pop("model_scores"), strict=True))
            yield with_labels(clip_from_row(row), scores, self._measured)


def with_labels(clip: Clip, scores: Mapping[str, float | None], measured: Mapping[str, Measured]) -> Clip:
    """Fill a clip's unknown labels from confident scores."""
    found = {name: label for name, score in scores.items() if (label := sure(score, measured[name])) is not None}

    def filled(attributes: Sequence[Attribute], labels: Sequence[int | None]) -> list[int | None]:
        return [
            found.get(attribute.name) if label is None else label
            for attribute, label in zip(attributes, labels, strict=True)
        ]

    shown = [emotion.name for emotion in EMOTION if found.get(emotion.name) == 1]
    return replace(
        clip,
        appearance=filled(APPEARANCE, clip.appearance),
        action=filled(ACTION, clip.action),
        extra=filled(EXTRA, clip.extra),
        emotion=clip.emotion or (shown[0] if len(shown) == 1 and not clip.emotion_segments else None),
    )


def sure(score: float | None, measured: Measured) -> int | None:
    """1 or 0 if the score is beyond the respective bound, else None."""
    if score is None:
        return None
    if measured.yes_from is not None and score > 0.5 and score >= measured.yes_from:
        return 1
    if measured.no_below is not None and score <= 0.5 and score <= measured.no_below:
        return 0
    return None
