"""Turn videos into shards and rejects."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from favchat.config import Config, require

if TYPE_CHECKING:
    from favchat.data.pipeline import PrepareResult
    from favchat.data.report_page import Report


@dataclass(frozen=True)
class Prepared:
    """What was prepared, and the report on the whole corpus."""

    result: PrepareResult
    report: Report

    def summary(self) -> str:
        """One line for the terminal."""
        return f"{self.result.summary()}, {self.report.page}"


def run(config: Config) -> Prepared:
    """Prepare the clips of ``data.source`` on the cluster of the ``ray`` section, and report on the corpus.

    The report goes to ``data.out`` and, where MLflow is installed, to a run of its own.

    Raises:
        ConfigError: A setting is missing, the source cannot be listed, or ``data.out`` holds clips of another source.
        OSError: The output cannot be written.
    """
    require(config, "data.source.path", "data.out")
    if config.data.source.kind == "celebv_hq":
        require(config, "data.source.annotations")
    from favchat.data.addresses import path_of
    from favchat.data.pipeline import prepare
    from favchat.data.report_page import write_report

    result = prepare(config)
    report = write_report(path_of(config.data.out or ""))
    if find_spec("mlflow"):
        _log(config, result, report)
    return Prepared(result, report)


def _log(config: Config, result: PrepareResult, report: Report) -> None:
    from favchat.tracking import start_run

    run = start_run(config.tracking, f"prepare {report.page.parent.name}")
    run.log_config(config)
    run.log_metrics(
        {"clips": result.clips, "in_shards": result.in_shards, "rejected": result.rejected, "skipped": result.skipped},
        0,
    )
    for file in report.files:
        run.log_file(file.name, file.read_bytes())
    run.finish()
