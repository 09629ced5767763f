"""The steps of a pipeline: what each depends on, what it leaves, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from favchat.config import Config
from favchat.data.corpus.schema import ANNOTATION_REJECTS, ANNOTATIONS, REJECTS, SHARDS
from favchat.io.settings_record import settings_of
from jobs.pipeline.digests import file_digest, folder_digest, source_digest
from jobs.pipeline.register import METRICS, register

if TYPE_CHECKING:
    from favchat.tracking import Run

Inputs = Mapping[str, str | None]

PREPARED, ANNOTATED = (SHARDS, REJECTS), (ANNOTATIONS, ANNOTATION_REJECTS)


@dataclass(frozen=True)
class Step:
    """One step. All functions get the whole configuration, with every folder filled in."""

    name: str
    settings: Callable[[Config], dict[str, Any]]
    """Dotted key -> value of what its output depends on; resources and folders do not belong to it."""
    inputs: Callable[[Config], Inputs]
    """What it reads, by a name for messages -> a digest; None: it is not there yet."""
    output: Callable[[Config], str | None]
    """A digest of what it left; None: nothing, or not all of it."""
    work: Callable[[Config, Run | None], str]
    """Does it, in a run below the given one; gives what it says at its end."""
    after: tuple[str, ...] = ()
    """The steps whose output it reads."""
    unwanted: Callable[[Config], str | None] = lambda _: None
    """Why the configuration does not ask for it; None: it does."""
    folder: Callable[[Config], str | None] = lambda _: None
    """Its folder, which is moved aside where it holds results of other inputs or settings; None: the step itself deals
    with those."""
    always: str = ""
    """Why it is done even where nothing changed."""


def _prepare_settings(config: Config) -> dict[str, Any]:
    from favchat.data.corpus.row_settings import row_settings

    settings = row_settings(config)
    for number, source in enumerate(config.data.sources):
        settings |= settings_of(source, f"data.sources.{number}.")
    return settings if config.data.sources else settings | settings_of(config.data.source, "data.source.")


def _prepare(config: Config, parent: Run | None) -> str:
    import jobs.prepare

    return jobs.prepare.run(config, parent=parent).summary()


def _annotate_settings(config: Config) -> dict[str, Any]:
    from favchat.data.annotate.settings import annotation_settings

    return {"annotate.writer": config.annotate.writer} | annotation_settings(config)


def _annotate(config: Config, parent: Run | None) -> str:
    import jobs.annotate

    return jobs.annotate.run(config, parent=parent).summary()


def _train_settings(config: Config) -> dict[str, Any]:
    from favchat.training.stage_settings import stage_settings

    # What a corpus's annotations were made with is no setting of training here: they are its input.
    alone = config.model_copy(update={"data": config.data.model_copy(update={"out": None})})
    found: dict[str, Any] = {"training.init": config.training.init}
    for stage in config.training.stages:
        found |= stage_settings(alone, stage, stage.init, None)
    return {key: value for key, value in found.items() if not key.startswith("weights of") and key != "data.out"}


def _train_inputs(config: Config) -> Inputs:
    found: dict[str, str | None] = _corpus(config)
    for name in {config.training.init, *(stage.init for stage in config.training.stages)} - {None}:
        found[f"the model {name}"] = _named_model(str(name), config)
    return found


def _train(config: Config, parent: Run | None) -> str:
    import jobs.train

    # It is registered by a step of its own, if its evaluation allows.
    return jobs.train.run(_unregistered(config), parent=parent).summary()


def _evaluate_settings(config: Config) -> dict[str, Any]:
    free = {"model", "server", "judge", "out", "batch_clips", "workers", "use_gpu", "threads"}
    found = {"seed": config.seed} | settings_of(config.evaluation, "evaluation.", free)
    judge = settings_of(config.evaluation.judge, "evaluation.judge.")
    return found | {key: judge[key] for key in judge if key.rpartition(".")[2] in ("base_url", "model", "parameters")}


def _evaluate(config: Config, parent: Run | None) -> str:
    import jobs.evaluate

    return jobs.evaluate.run(config, parent=parent).summary()


def _register_settings(config: Config) -> dict[str, Any]:
    from favchat.tracking import tracking_uri

    found: dict[str, Any] = {
        "tracking.registered_model": config.tracking.registered_model,
        "tracking.uri": tracking_uri(config.tracking),
    }
    for name, bounds in config.pipeline.require.items():
        found |= settings_of(bounds, f"pipeline.require.{name}.")
    return found


def _register(config: Config, parent: Run | None) -> str:
    return register(config)


def _deploy(config: Config, parent: Run | None) -> str:
    from jobs.pipeline.deploy import deploy

    return deploy(config)


def _corpus(config: Config) -> dict[str, str | None]:
    out = config.data.out or ""
    return {
        "the prepared clips": folder_digest(out, PREPARED[:1]),
        "the annotations": folder_digest(out, ANNOTATED[:1], contents=True),
    }


def _unregistered(config: Config) -> Config:
    return config.model_copy(update={"tracking": config.tracking.model_copy(update={"registered_model": None})})


def _named_model(name: str, config: Config) -> str:
    from favchat.hub.fingerprint import model_fingerprint
    from favchat.hub.names import resolve_model
    from favchat.training.stage.checkpoints import RECORD

    if (Path(name) / RECORD).is_file():  # a checkpoint of a stage
        return model_fingerprint(str(Path(name).absolute()))
    return model_fingerprint(resolve_model(name, config.tracking, key="training.init"))


def _model(config: Config) -> str | None:
    from favchat.hub.fingerprint import model_fingerprint

    folder = Path(config.training.out or "", "model")
    return model_fingerprint(str(folder)) if (folder / "config.json").is_file() else None


def _report(config: Config) -> str | None:
    return file_digest(f"{config.evaluation.out}/{METRICS}")


def _registered(config: Config) -> str | None:
    return file_digest(f"{config.training.out}/registered.json") if config.tracking.registered_model else "checked"


STEPS = (
    Step(
        "prepare",
        _prepare_settings,
        lambda config: {"the files of the source": source_digest(config)},
        lambda config: folder_digest(config.data.out or "", PREPARED),
        _prepare,
    ),
    Step(
        "annotate",
        _annotate_settings,
        lambda config: {"the prepared clips": folder_digest(config.data.out or "", PREPARED[:1])},
        lambda config: folder_digest(config.data.out or "", ANNOTATED, contents=True),
        _annotate,
        after=("prepare",),
    ),
    Step(
        "train",
        _train_settings,
        _train_inputs,
        _model,
        _train,
        after=("prepare", "annotate"),
        folder=lambda config: config.training.out,
    ),
    Step(
        "evaluate",
        _evaluate_settings,
        lambda config: _corpus(config) | {"the trained model": _model(config)},
        _report,
        _evaluate,
        after=("prepare", "annotate", "train"),
        folder=lambda config: config.evaluation.out,
    ),
    Step(
        "register",
        _register_settings,
        lambda config: {"the trained model": _model(config), "the evaluation": _report(config)},
        _registered,
        _register,
        after=("train", "evaluate"),
        unwanted=lambda config: (
            None
            if config.tracking.registered_model or config.pipeline.require
            else "neither tracking.registered_model nor pipeline.require is set"
        ),
    ),
    Step(
        "deploy",
        lambda config: settings_of(config.serve, "serve."),
        lambda config: {"the trained model": _model(config)},
        _model,
        _deploy,
        after=("train", "evaluate", "register"),
        unwanted=lambda config: None if config.pipeline.deploy else "pipeline.deploy is not set",
        always="what the cluster serves now is not known",
    ),
)
NAMES = tuple(step.name for step in STEPS)
