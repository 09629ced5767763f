"""The section of benchmarks."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from favchat.config.openai_server import ServerConfig
from favchat.config.section import Place, Section
from favchat.plugins import TASKS


class AskedServerConfig(ServerConfig):
    """A server that is asked in place of a checkpoint; clips are sent to it."""

    media: Literal["frames", "video"] = "frames"
    """What is sent of a clip: ``frames`` as ``image_url`` parts, or the ``video`` as one ``video_url`` part, as
    ``favchat serve`` and vLLM take it."""
    frames: int = Field(default=8, ge=1)
    """Frames of a clip that go along as pictures, spread evenly over it."""


class JudgeConfig(ServerConfig):
    """A model that gives open answers a score; it gets the texts, no frames."""

    prompt: Place | None = None
    """A file with the prompt; null: ``favchat/evaluation/prompts/judge.txt``."""
    parameters: dict[str, Any] = {"max_tokens": 200, "temperature": 0}
    """Further fields of a request as the server knows them."""


class EvaluationConfig(Section):
    """Benchmarks; docs/evaluation.md explains them."""

    model: Place | None = None
    """The model: a directory (``training.out/model``), a hub name, ``models:/NAME@ALIAS`` or
    ``asset:favchat-nano``. Null: ``server``."""
    server: AskedServerConfig = AskedServerConfig()
    out: Place | None = None
    """Folder of the report: ``metrics.json``, ``predictions.parquet``, ``report.html``."""
    tasks: list[str] = Field(default=["questions", "summaries"], min_length=1)
    """What is asked."""
    split: str | None = None
    """The split that is asked about; null: ``test`` where the corpus has it, else ``val``."""
    folds: list[int] | None = None
    """Folds of ``dfew`` and ``mafw`` whose test lists in ``data.source.path`` are asked about; null: the split."""
    trained_on: list[Place] | None = None
    """Corpora the model was trained on, where leaks and the baselines' frequencies are looked for; null: ``data.out``.
    Their training split is ``training.split``."""
    max_clips: int | None = Field(default=None, ge=1)
    """Clips that a task asks about, spread evenly over the split; null: all."""
    ways: list[Literal["likelihood", "text", "scores"]] | None = None
    """How closed questions are answered; null: by likelihood and in words of a checkpoint, in words of a server.
    ``scores``: a checkpoint's attribute scores alone, without its language model, where they decide."""
    hints: bool | None = None
    """Whether closed questions that are answered in words say how ("Answer with one word only: ..."); null: of a
    server they do, of a checkpoint, which was trained without, they do not."""
    calibration: Literal["content_free", "length", "none"] = "content_free"
    """How likelihoods become probabilities, see docs/evaluation.md."""
    max_new_tokens: int = Field(default=96, ge=1)
    """Longest free answer of a checkpoint, in tokens."""
    judge: JudgeConfig = JudgeConfig()
    """Scores open answers where ``judge.base_url`` is given."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap samples and permutations."""
    batch_clips: int = Field(default=8, ge=1)
    """Clips that are encoded and asked about together."""
    workers: int = Field(default=1, ge=1)
    """Processes, each with a model of its own."""
    use_gpu: bool = False
    """Whether each worker takes a GPU."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads a worker; by default the CPUs that it may use (affinity, container's limit, Ray's) divided by the
    workers."""

    @field_validator("folds")
    @classmethod
    def _five_folds(cls, folds: list[int] | None) -> list[int] | None:
        if folds is not None and (not folds or len(set(folds)) < len(folds) or not set(folds) <= set(range(1, 6))):
            raise ValueError("folds are one or more different numbers from 1 to 5")
        return folds

    @field_validator("tasks")
    @classmethod
    def _tasks_are_known(cls, tasks: list[str]) -> list[str]:
        return [TASKS.check(name) for name in tasks]

    @field_validator("tasks", "ways")
    @classmethod
    def _once_each(cls, names: list[str] | None) -> list[str] | None:
        if names is not None and (not names or len(set(names)) < len(names)):
            raise ValueError("name at least one, and each once")
        return names
