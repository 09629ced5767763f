"""Asks a model all questions about all clips with Ray Data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import ActorPoolStrategy
from upath import UPath

from favchat.config import Config, ConfigError, EvaluationConfig
from favchat.data.corpus.parquet_files import arrow_place, parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.evaluation.asking.answer_store import check_settings, read_answers, write_answers
from favchat.evaluation.asking.backends import CLIP_COLUMNS, backend
from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.io.paths import path_of
from favchat.runtime import ray_cluster
from favchat.runtime.placement import Demand
from favchat.runtime.progress import clip_progress
from favchat.runtime.ray_data import quiet_execution

_READER_CPUS = 0.5
_ASKER_CPUS = 0.5


@dataclass(frozen=True)
class Asking:
    """Outcome of a run."""

    answered: int
    """Questions that have an answer now; what two tasks both ask is one question."""
    skipped: int
    """Of these, the ones that an earlier run had asked."""
    failures: Mapping[str, int]
    """Why others have none yet -> how many; the next run asks them again."""


class ClipAsker:
    """A Ray Data actor that asks all questions about its clips, and writes the answers."""

    def __init__(self, config: Config, items: Any, shards: Any, out: UPath, progress: Any) -> None:
        """Load the model, or open the client.

        Args:
            config: The whole configuration.
            items: Clip -> questions, as an object reference of Ray.
            shards: Clip -> path of its shard, as an object reference of Ray.
            out: ``evaluation.out``.
            progress: A ``favchat.runtime.progress.ClipCounter``.
        """
        self._answerer = backend(config.evaluation)
        self._items: Mapping[str, list[EvalQuestion]] = ray.get(items)
        self._shards: Mapping[str, str] = ray.get(shards)
        self._out, self._progress = out, progress
        self._fault: str | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Ask about the clips of a batch.

        Args:
            batch: ``CLIP_COLUMNS``.

        Returns:
            One row: ``failures``, and the ``fault`` after which no further question is asked.
        """
        failures: list[str] = []
        if self._fault is None:
            clips = [row | {"shard": self._shards[row["clip_id"]]} for row in batch.to_pylist()]
            done = self._answerer.answer(clips, [self._items[clip["clip_id"]] for clip in clips])
            write_answers(done.rows, self._out)
            failures, self._fault = done.failures, done.fault
            for clip in clips:
                self._progress.finished.remote(clip["clip_id"], False)
        schema = pa.schema([("failures", pa.list_(pa.string())), ("fault", pa.string())])
        return pa.Table.from_pylist([{"failures": failures, "fault": self._fault}], schema=schema)


def ask(config: Config, items: Sequence[EvalQuestion]) -> Asking:
    """Ask all questions without an answer in ``evaluation.out``.

    Ray is started by the ``ray`` section unless it runs or there is nothing to ask.

    Raises:
        ConfigError: ``evaluation.out`` holds answers with other settings, there is no such model, or the server rejects
            all requests.
        OSError: The answers cannot be written.
    """
    out = path_of(config.evaluation.out or "")
    check_settings(config, out)
    wanted = {item.key: item for item in items}
    before = read_answers(out, ["item"]).keys() & wanted.keys()
    missing: dict[str, list[EvalQuestion]] = {}
    for key, item in wanted.items():
        if key not in before:
            missing.setdefault(item.clip_id, []).append(item)
    failures: Counter[str] = Counter()
    fault: str | None = None
    if missing:
        ray_cluster.start(config.ray, demands=_demands(config.evaluation))
        with clip_progress("evaluate", len(missing)) as progress:
            # Consume it to the end, which is soon after a fault: an abandoned execution would keep its actors for long.
            for row in _rows(config, missing, out, progress):
                fault = fault or row["fault"]
                failures.update(row["failures"])
    if fault is not None:
        raise ConfigError(fault)
    answered = read_answers(out, ["item"]).keys() & wanted.keys()
    return Asking(len(answered), len(before), dict(failures))


def _demands(settings: EvaluationConfig) -> list[Demand]:
    if not settings.model:
        return []
    gpus = 1 if settings.use_gpu else 0
    return [Demand("evaluation.workers", settings.workers, _ASKER_CPUS, gpus, "evaluation.use_gpu")]


def _rows(
    config: Config, missing: Mapping[str, list[EvalQuestion]], out: UPath, progress: Any
) -> Iterator[dict[str, Any]]:
    settings, shards = config.evaluation, path_of(config.data.out or "") / SHARDS
    wanted = pc.field("clip_id").isin(sorted(missing))
    # Read the images of clips with open questions only.
    shard_of: dict[str, str] = {}
    files = []
    for file in parquet_files(shards):
        found = read_table(file, ["clip_id"], filters=wanted)["clip_id"].to_pylist()
        shard_of |= dict.fromkeys(found, str(file))
        files += [file] if found else []
    with quiet_execution():
        asked = (
            ray.data.read_parquet(
                [arrow_place(file)[0] for file in files],
                filesystem=arrow_place(shards)[1],
                columns=CLIP_COLUMNS,
                num_cpus=_READER_CPUS,
            )
            .filter(expr=ray.data.expressions.col("clip_id").is_in(sorted(missing)))
            .map_batches(
                ClipAsker,
                batch_format="pyarrow",
                batch_size=settings.batch_clips,
                fn_constructor_kwargs={
                    "config": config,
                    "items": ray.put(dict(missing)),
                    "shards": ray.put(shard_of),
                    "out": out,
                    "progress": progress,
                },
                compute=ActorPoolStrategy(size=settings.workers),
                num_cpus=_ASKER_CPUS if settings.model else 0,
                num_gpus=1 if settings.model and settings.use_gpu else 0,
                # If a process dies the run fails, and the next one resumes from the written answers.
                max_restarts=0,
                max_task_retries=0,
            )
        )
        yield from asked.iter_rows()
