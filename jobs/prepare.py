"""Turn videos into shards and rejects."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from favchat.config import Config, ConfigError, SourceConfig, require
from favchat.runtime.preload import preload_video

if TYPE_CHECKING:
    from favchat.data.prepare.pipeline import PrepareResult
    from favchat.data.report.html_page import Report
    from favchat.tracking import Run


@dataclass(frozen=True)
class Prepared:
    """What was prepared, and the report on the whole corpus."""

    results: list[PrepareResult]
    """Of each source."""
    report: Report

    def summary(self) -> str:
        """A line for each source."""
        return "\n".join([*(result.summary() for result in self.results[:-1]), self._last()])

    def _last(self) -> str:
        return f"{self.results[-1].summary()}, {self.report.page}"


def run(config: Config, *, parent: Run | None = None) -> Prepared:
    """Prepare the clips of ``data.source``, or of ``data.sources``, on the cluster of the ``ray`` section, and report.

    The report goes to ``data.out`` and, where MLflow is installed, to a run of its own, below `parent` if there is one.

    Raises:
        ConfigError: A setting is missing, the source cannot be listed, or ``data.out`` holds clips of another source.
        OSError: The output cannot be written.
    """
    require(config, *([] if config.data.sources else ["data.source.path"]), "data.out")
    parts = [_of_source(config, source) for source in config.data.sources] or [config]
    for number, part in enumerate(parts):
        where = f"data.sources.{number}" if config.data.sources else "data.source"
        for key in ("path", *(("annotations",) if part.data.source.kind == "celebv_hq" else ())):
            if getattr(part.data.source, key) is None:
                raise ConfigError(f"this command needs {where}.{key}=...")
    preload_video(config.ray)
    from favchat.data.prepare.pipeline import prepare
    from favchat.data.report.html_page import write_report
    from favchat.io.paths import path_of

    results = [prepare(part) for part in parts]
    report = write_report(path_of(config.data.out or ""))
    if find_spec("mlflow"):
        _log(config, results, report, parent)
    return Prepared(results, report)


def _of_source(config: Config, source: SourceConfig) -> Config:
    """The configuration of one of several sources."""
    return config.model_copy(update={"data": config.data.model_copy(update={"source": source, "sources": []})})


def _log(config: Config, results: list[PrepareResult], report: Report, parent: Run | None) -> None:
    from favchat.tracking import start_run

    run = start_run(config.tracking, f"prepare {report.page.parent.name}", parent=parent)
    run.log_config(config)
    counts = ("clips", "in_shards", "rejected", "skipped")
    run.log_metrics({name: sum(getattr(result, name) for result in results) for name in counts}, 0)
    for file in report.files:
        run.log_file(file.name, file.read_bytes())
    run.finish()
