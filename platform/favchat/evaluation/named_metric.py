"""One number of an evaluation by its name, and the same of a model in memory about a few clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from favchat.config import Config, ConfigError
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.schema import SHARDS
from favchat.evaluation.asking.backends import CLIP_COLUMNS, CheckpointBackend
from favchat.evaluation.asking.eval_question import answer_row
from favchat.evaluation.asking.local_backend import LocalModel
from favchat.evaluation.evaluate import Plan, plan_task, score_plan
from favchat.evaluation.labelled_clips import asked_split, read_clips
from favchat.evaluation.scoring.choices import Metric, Result, Scoring
from favchat.evaluation.scoring.predictions import Row, predictions
from favchat.io.paths import path_of
from favchat.plugins import TASKS

IN_MEMORY = "the model in memory"
"""What takes the place of a model's name."""


def named_metric(results: Mapping[str, Iterable[Result]], name: str) -> Metric:
    """The number that a name stands for.

    Args:
        results: Task -> its results.
        name: ``TASK/WAY/PART/METRIC`` as in MLflow, such as ``celebv_hq_attributes/scores/all/uar``; of a mean over
            attributes what stands before the colon is enough.

    Raises:
        ConfigError: There is none of that name; the message lists those that are there.
    """
    there = {
        f"{task}/{result.way}/{result.part.partition(':')[0]}/{metric}": value
        for task, some in results.items()
        for result in some
        for metric, value in result.metrics.items()
    }
    if name not in there:
        few = sorted(key for key in there if key.rpartition("/")[2] == name.rpartition("/")[2]) or sorted(there)
        raise ConfigError(f"{name}: the evaluation has no such metric; there are {', '.join(few[:20]) or 'none'}")
    return there[name]


def metric_in_memory(config: Config, name: str, model: Any, processor: Any) -> float:
    """A metric of a model in memory, about ``evaluation.max_clips`` clips that are always the same ones.

    Args:
        config: The whole configuration; ``evaluation`` says what is asked, ``data.out`` is the corpus.
        name: See :func:`named_metric`.
        model: The model, in evaluation mode.
        processor: Its processor.

    Raises:
        ConfigError: There is no such metric, or nothing to ask.
    """
    return predicted_in_memory(config, name, model, processor)[0]


def predicted_in_memory(config: Config, name: str, model: Any, processor: Any) -> tuple[float, list[Row]]:
    """As :func:`metric_in_memory`, with the predictions."""
    plan, by_id = _planned(config, name, list(processor.attributes))
    settings = config.evaluation
    by_clip: dict[str, list[Any]] = {}
    for item in plan.items:
        by_clip.setdefault(item.clip_id, []).append(item)
    backend = CheckpointBackend(settings, LocalModel.of(model, processor, max_new_tokens=settings.max_new_tokens))
    answers: dict[str, Any] = {}
    stored = _stored(config, sorted(by_clip))
    for begin in range(0, len(stored), settings.batch_clips):
        some = stored[begin : begin + settings.batch_clips]
        done = backend.answer(some, [by_clip[row["clip_id"]] for row in some])
        answers |= {row["item"]: row for row in done.rows}
    return _scored(config, name, plan, by_id, answers)


def check_metric(config: Config, name: str) -> None:
    """See before any training that an evaluation will have a metric: as if every answer were right.

    Args:
        config: As above; what will be taught is ``model.adapter.attributes``.
        name: See :func:`named_metric`.

    Raises:
        ConfigError: It will not.
    """
    plan, by_id = _planned(config, name, config.model.adapter.attributes)
    answers = {}
    for item in plan.items:
        logs = [0.0 if place == item.truth else -9.0 for place in range(len(item.options))]
        right = item.options[item.truth] if item.truth is not None else next(iter(item.references), "")
        same = {"log_likelihoods": logs, "prior": [0.0] * len(logs), "tokens": [1] * len(logs)}
        answers[item.key] = answer_row(item, **({"raw": right} if item.way == "text" else same))
    _scored(config, name, plan, by_id, answers)


def _planned(config: Config, name: str, taught: Sequence[str]) -> tuple[Plan, dict[str, Clip]]:
    settings = config.evaluation.model_copy(update={"model": IN_MEMORY})
    clips = read_clips(config.data.out or "")
    config = config.model_copy(update={"evaluation": settings})
    task = TASKS[name.partition("/")[0]]
    plan = plan_task(task, config, clips, {}, asked_split(config, clips), taught=taught)
    return plan, {one.clip.id: one.clip for one in clips}


def _scored(
    config: Config, name: str, plan: Plan, clips: Mapping[str, Clip], answers: Mapping[str, Any]
) -> tuple[float, list[Row]]:
    rows = predictions(plan.items, answers, config.evaluation.calibration)
    found = score_plan(plan, rows, clips, Scoring(resamples=20, seed=config.seed))
    return named_metric({plan.task.name: found}, name).value, rows


def _stored(config: Config, clip_ids: Sequence[str]) -> list[dict[str, Any]]:
    """What the shards hold of some clips."""
    wanted = pc.field("clip_id").isin(list(clip_ids))
    rows = []
    for file in parquet_files(path_of(config.data.out or "") / SHARDS):
        rows += [row | {"shard": str(file)} for row in read_table(file, CLIP_COLUMNS, filters=wanted).to_pylist()]
    return sorted(rows, key=lambda row: row["clip_id"])
