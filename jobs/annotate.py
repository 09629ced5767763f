"""Write summaries and questions about the clips in the shards."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from favchat.config import Config, require

if TYPE_CHECKING:
    from favchat.data.annotate.pipeline import AnnotateResult
    from favchat.data.annotate.report import AnnotationReport
    from favchat.evaluation.machine_labels import ModelWriter
    from favchat.tracking import Run


@dataclass(frozen=True)
class Annotated:
    """What was written, and the report on it."""

    result: AnnotateResult
    report: AnnotationReport

    def summary(self) -> str:
        """One line for the terminal; a few where nothing could be written."""
        return self.result.summary() if self.result.nothing_known else f"{self.result.summary()}, {self.report.page}"


def run(config: Config, *, parent: Run | None = None) -> Annotated:
    """Annotate the clips in ``data.out`` and report on the rows, there and, with MLflow, to a run (below `parent`).

    Templates about up to 2,000 clips are written in this process; all else runs on the cluster of the ``ray``
    section.

    Raises:
        ConfigError: A setting is missing or wrong, there are no shards, or one cannot be read.
        OSError: The output cannot be written.
    """
    require(config, "data.out")
    from favchat.data.annotate.pipeline import annotate
    from favchat.data.annotate.report import write_annotation_report
    from favchat.io.paths import path_of

    result = annotate(config, _model_writer(config) if config.annotate.writer == "model" else None)
    report = write_annotation_report(result, path_of(config.data.out or ""))
    if find_spec("mlflow"):
        _log(config, report, parent)
    return Annotated(result, report)


def _model_writer(config: Config) -> ModelWriter:
    """The writer that asks a model for its attribute scores, on the cluster of the ``ray`` section."""
    from favchat.evaluation.machine_labels import ModelWriter
    from favchat.hub.names import resolve_model
    from favchat.runtime import ray_cluster

    model = resolve_model(config.annotate.model, config.tracking, key="annotate.model")
    ray_cluster.start(config.ray)
    return ModelWriter(config, model)


def _log(config: Config, report: AnnotationReport, parent: Run | None) -> None:
    from favchat.tracking import start_run

    run = start_run(config.tracking, f"annotate {report.page.parent.name}", parent=parent)
    run.log_config(config)
    run.log_metrics(report.metrics(), 0)
    run.log_file(report.page.name, report.page.read_bytes())
    run.finish()
