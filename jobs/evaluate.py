"""Evaluate a model, or a server, on benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from favchat.config import Config, ConfigError, require
from favchat.runtime.preload import preload_model

if TYPE_CHECKING:
    from upath import UPath

    from favchat.evaluation.evaluate import Evaluation
    from favchat.tracking import Run


@dataclass(frozen=True)
class Evaluated:
    """What was found, and its page."""

    evaluation: Evaluation
    page: UPath

    def summary(self) -> str:
        """Lines for the terminal."""
        asking, found = self.evaluation.asking, self.evaluation
        lines = [f"{one.task.name}: {one.leaks.summary()}" for one in found.tasks]
        lines += [f"{one.task.name}: {one.baselines()}" for one in found.tasks if one.baselines()]
        lines += [f"not answered: {count} x {reason}" for reason, count in asking.failures.items()]
        if asking.failures or found.unjudged:
            lines.append("run the same command again to ask for what is missing")
        there = f" ({asking.skipped:,} were there already)" if asking.skipped else ""
        lines.append(f"{asking.answered:,} questions answered{there} -> {self.page}")
        return "\n".join(lines)


def run(config: Config, *, parent: Run | None = None) -> Evaluated:
    """Ask what has no answer yet on the cluster of the ``ray`` section, write the report, and log it to a run.

    The run is below `parent` if there is one.

    Raises:
        ConfigError: A setting is missing or wrong, or a task finds no clip that it could ask about.
        OSError: The output cannot be written.
    """
    require(config, "data.out", "evaluation.out")
    settings = config.evaluation
    if settings.model is None and settings.server.base_url is None:
        raise ConfigError("this command needs evaluation.model=..., or evaluation.server.base_url=... and .model=...")
    if settings.model is None:
        require(config, "evaluation.server.model")
    for package, module in _NEEDED.items():
        if find_spec(module) is None:
            raise ConfigError(f"favchat evaluate needs {package}: install favchat[evaluate]")
    if settings.model is not None:
        preload_model(config.ray)
    from favchat.evaluation.evaluate import PREDICTIONS, evaluate
    from favchat.evaluation.reporting.report import METRICS, run_metrics, write_report
    from favchat.hub.names import resolve_model
    from favchat.io.paths import absolute

    # Workers have working directories of their own.
    changes = {"out": absolute(settings.out or "")}
    if settings.model is not None:
        changes["model"] = resolve_model(settings.model, config.tracking, key="evaluation.model")
    resolved = config.model_copy(update={"evaluation": settings.model_copy(update=changes)})
    evaluation = evaluate(resolved)
    page = write_report(evaluation, config)
    if find_spec("mlflow"):
        from favchat.tracking import start_run

        name = f"evaluate {Path(settings.model or settings.server.model or '').name}"
        run = start_run(config.tracking, name, parent=parent)
        run.log_config(config)
        run.log_metrics(run_metrics(evaluation), 0)
        for name in (METRICS, page.name, PREDICTIONS):
            run.log_file(name, (evaluation.out / name).read_bytes())
        run.finish()
    return Evaluated(evaluation, page)


_NEEDED = {"scikit-learn": "sklearn", "torchmetrics": "torchmetrics", "nltk": "nltk", "openai": "openai"}
