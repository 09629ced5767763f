"""``evaluate``: plans questions, collects answers, computes metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from upath import UPath

from favchat.config import Config, ConfigError
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.parquet_files import write_whole
from favchat.evaluation.asking.answer_store import read_answers
from favchat.evaluation.asking.eval_question import AnswerMode, EvalQuestion
from favchat.evaluation.asking.runner import Asking, ask
from favchat.evaluation.asking.score_answers import is_decided, taught_attributes
from favchat.evaluation.labelled_clips import (
    LabelledClip,
    NothingToAskError,
    asked_split,
    read_clips,
    some_of,
    training_corpora,
)
from favchat.evaluation.scoring.attributes import attribute_results
from favchat.evaluation.scoring.choices import Result, Scoring, class_results, question_results
from favchat.evaluation.scoring.judge import judge
from favchat.evaluation.scoring.linear_probe import probe_predictions
from favchat.evaluation.scoring.predictions import Row, predictions, table_of
from favchat.evaluation.scoring.split_leaks import Leaks, find_leaks
from favchat.evaluation.scoring.texts import text_results
from favchat.evaluation.task import Task, TaskContext
from favchat.io.paths import path_of
from favchat.plugins import TASKS

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class TaskResult:
    """The results of one task."""

    task: Task
    split: str
    leaks: Leaks
    results: Sequence[Result]
    unlisted: int = 0
    """Clips of the benchmark's lists that are not in the shards, and were not asked about."""
    untrained: tuple[str, ...] = ()
    """Parts that no training clip has a question of: their baselines are those of the asked clips' own frequencies."""

    def baselines(self) -> str:
        """A sentence on where the baselines come from; empty if from the training split only."""
        if not self.untrained:
            return ""
        return (
            f"the training split has no such question for {', '.join(self.untrained)}: majority and prior are those of "
            "the evaluated clips, which are not known in advance"
        )


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation."""

    model: str
    out: UPath
    asking: Asking
    tasks: Sequence[TaskResult]
    rows: Sequence[Row]
    """All predictions."""
    unjudged: int = 0
    """Open answers that the judge has not replied to."""


@dataclass(frozen=True)
class Plan:
    """What is asked of one task."""

    task: Task
    items: list[EvalQuestion]
    trained: list[EvalQuestion]
    """The same questions about the training split, for the baselines; features to learn from, of a probe."""
    absent: int = 0
    """Clips that the benchmark's lists name and the shards do not hold."""


def evaluate(config: Config) -> Evaluation:
    """Ask the unanswered questions, and recompute all results.

    Args:
        config: The whole configuration; ``evaluation``, ``data.out``, ``data.source.path``, ``training.split``, ``ray``
            and ``seed`` are used.

    Raises:
        ConfigError: A setting is missing or wrong, a task has no clips, or ``evaluation.out`` holds answers of another
            model.
        OSError: The output cannot be written.
    """
    settings = config.evaluation
    model = settings.model or settings.server.model or ""
    clips = read_clips(config.data.out or "")
    split = asked_split(config, clips)
    corpora = training_corpora(config, clips)
    trained = [one for some in corpora.values() for one in some]
    taught = taught_attributes(model) if settings.model and "scores" in (settings.ways or []) else []
    plans = [plan_task(TASKS[name], config, clips, corpora, split, taught=taught) for name in settings.tasks]
    asking = ask(config, [item for plan in plans for item in _to_ask(plan)])
    out = path_of(settings.out or "")
    answers = read_answers(out)
    by_id = {one.clip.id: one for one in clips}
    rows: list[Row] = []
    found: list[tuple[Plan, list[Row]]] = []
    for plan in plans:
        if plan.task.kind == "probe":
            learnt, items, some = _probed(plan, answers, by_id, config.seed)
            found.append((Plan(plan.task, items, learnt), some))
        else:
            found.append((plan, predictions(plan.items, answers, settings.calibration)))
        rows += found[-1][1]
    names = {one.clip.id: one.clip for one in clips}
    unjudged = judge(rows, names, settings.judge, out) if settings.judge.base_url else 0
    write_whole(table_of(rows), out / PREDICTIONS)
    results = []
    for plan, some in found:
        scoring = Scoring(settings.resamples, config.seed, plan.trained)
        asked = [by_id[clip_id] for clip_id in sorted({item.clip_id for item in plan.items})]
        results.append(
            TaskResult(
                plan.task,
                split,
                find_leaks(trained, asked),
                score_plan(plan, some, names, scoring),
                plan.absent,
                _untrained(plan),
            )
        )
    return Evaluation(model, out, asking, results, rows, unjudged)


def plan_task(
    task: Task,
    config: Config,
    clips: Sequence[LabelledClip],
    corpora: Mapping[str, Sequence[LabelledClip]],
    split: str,
    *,
    taught: Sequence[str] = (),
) -> Plan:
    """What a task asks.

    Args:
        task: The task.
        config: The whole configuration.
        clips: All clips of the corpus.
        corpora: The training corpora and their clips of the training split, see ``training_corpora``.
        split: The split that is asked about.
        taught: Attributes that the model was taught, for questions that its scores answer.

    Raises:
        ConfigError: A setting is wrong, or there is nothing to ask.
    """
    settings = config.evaluation
    if task.kind == "probe" and not settings.model:
        raise ConfigError(f"evaluation.tasks: {task.name} looks into a checkpoint; give evaluation.model")
    ways: tuple[AnswerMode, ...] = tuple(settings.ways or (["likelihood", "text"] if settings.model else ["text"]))
    if not settings.model and set(ways) - {"text"}:
        raise ConfigError(
            "evaluation.ways: likelihoods and scores need a checkpoint (evaluation.model); of a server only text"
        )
    asked = TaskContext(config, clips, split, ways)
    items = _decided(task.items(asked), task, taught) if "scores" in ways else task.items(asked)
    absent = max(0, task.listed(asked) - len({(item.clip_id, item.fold) for item in items})) if task.listed else 0
    items = _some(items, clips, settings.max_clips)
    if task.kind == "probe":
        return Plan(task, items, _probe_training_items(task, config, clips))
    trained: list[EvalQuestion] = []
    for corpus, some in corpora.items():
        there = config.model_copy(update={"data": config.data.model_copy(update={"out": corpus})})
        try:
            trained += task.items(TaskContext(there, some, config.training.split, ways[:1]))
        except NothingToAskError:  # the baselines use the questions' own frequencies, and the report says so
            continue
    return Plan(task, items, trained, absent)


def _decided(items: Sequence[EvalQuestion], task: Task, taught: Sequence[str]) -> list[EvalQuestion]:
    """The questions without those that were to be answered by scores which do not decide them."""
    left = [item for item in items if item.way != "scores" or is_decided(item, taught)]
    if not any(item.way == "scores" for item in left):
        raise ConfigError(
            f"evaluation.ways: no question of {task.name} is about an attribute that the model was taught, so "
            "that its scores answer none; leave 'scores' out"
        )
    return left


def _probe_training_items(task: Task, config: Config, clips: Sequence[LabelledClip]) -> list[EvalQuestion]:
    """The feature questions of the training split of ``data.out``, on which probes are fitted."""
    items = task.items(TaskContext(config, clips, config.training.split, ("features",)))
    if not items:
        raise ConfigError(f"data.out = {config.data.out}: {task.name} needs clips of split '{config.training.split}'")
    return items


def _some(items: Sequence[EvalQuestion], clips: Sequence[LabelledClip], count: int | None) -> list[EvalQuestion]:
    """The questions about at most `count` clips, evenly spaced over the clips with questions."""
    there = {item.clip_id for item in items}
    kept = {one.clip.id for one in some_of([one for one in clips if one.clip.id in there], count)}
    return [item for item in items if item.clip_id in kept]


def _to_ask(plan: Plan) -> list[EvalQuestion]:
    return plan.items + plan.trained if plan.task.kind == "probe" else plan.items


def _probed(
    plan: Plan, answers: Mapping[str, Row], clips: Mapping[str, LabelledClip], seed: int
) -> tuple[list[EvalQuestion], list[EvalQuestion], list[Row]]:
    features = {item.clip_id: answers[item.key]["features"] for item in _to_ask(plan) if item.key in answers}
    trained, asked = ([clips[item.clip_id] for item in some] for some in (plan.trained, plan.items))
    return probe_predictions(features, trained, asked, seed=seed)


def _untrained(plan: Plan) -> tuple[str, ...]:
    """The metric groups, by fold if there are several, without questions in the training split."""

    def parts(items: Sequence[EvalQuestion]) -> set[str]:
        return {item.part if item.fold is None else f"{item.part}, fold {item.fold}" for item in items}

    return () if plan.task.kind == "probe" else tuple(sorted(parts(plan.items) - parts(plan.trained)))


def score_plan(plan: Plan, rows: Sequence[Row], clips: Mapping[str, Clip], scoring: Scoring) -> list[Result]:
    """The results of a task.

    Args:
        plan: What was asked.
        rows: The predictions.
        clips: Clip id -> its labels.
        scoring: What else counts.
    """
    if plan.task.kind == "attributes":
        return attribute_results(plan.items, rows, scoring)
    if plan.task.kind == "questions":
        return question_results(plan.items, rows, scoring) + text_results(plan.items, rows, clips, scoring)
    if plan.task.kind == "texts":
        return text_results(plan.items, rows, clips, scoring)
    return class_results(plan.items, rows, scoring)
