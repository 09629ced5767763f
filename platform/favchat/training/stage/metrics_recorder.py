"""Records a stage's metrics in its step file and in MLflow; only rank 0 writes."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from favchat.training.stage.collectives import all_reduce_sum
from favchat.training.stage.expert_usage import usage_entropy, usage_picture
from favchat.training.stage.job import StageJob
from favchat.training.stage.step import StepResult
from favchat.training.stage.step_log import StepFile, main_loss

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    from favchat.tracking import BackgroundLog

_TRAINED = ("step", "language_loss", "attribute_loss")
SYSTEM_SECONDS = 10
"""Between two samples of the system's metrics."""
PICTURE_SECONDS = 60
"""Between two pictures of the experts' usage, at least; each takes a third of a second, and a last one comes anyway."""


class Recorder:
    """Accumulates a stage's metrics after step `begun` and writes them on rank 0.

    Args:
        job: The stage.
        rank: Of this worker.
        begun: Steps that earlier workers took.
        unreported: What they had measured since their last report; as :meth:`unreported` returned it.
    """

    def __init__(self, job: StageJob, rank: int, begun: int, unreported: Mapping[str, Any] | None = None):
        self._job, self._rank = job, rank
        before = unreported or {}
        self._losses: list[float] = list(before.get("losses", []))
        # The counts are those of all workers, so that one of them takes them over.
        counted = before.get("choices") if rank == 0 else None
        self._choices: Tensor | None = None if counted is None else torch.tensor(counted)
        self._steps = StepFile(job.step_file, after=begun) if rank == 0 else None
        self._reports = StepFile(job.report_file, after=begun) if rank == 0 else None
        self._undrawn: tuple[int, Tensor] | None = None
        self._drawn = time.monotonic()
        self._log: BackgroundLog | None = None
        self._system: SystemMetricsMonitor | None = None
        if rank == 0 and job.run:
            # Imported here: MLflow takes seconds to import, and only rank 0 needs it.
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            from favchat.tracking import BackgroundLog, Run

            self._log = BackgroundLog(Run(**job.run))
            self._system = SystemMetricsMonitor(
                job.run["run_id"], SYSTEM_SECONDS, resume_logging=begun > 0, tracking_uri=job.run["uri"]
            )

    def __enter__(self) -> Recorder:
        """Start to record system metrics."""
        if self._system:
            self._system.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Flush what is buffered."""
        if self._system:
            self._system.finish()
        if self._log:
            try:
                self._draw(self._log)
            finally:
                self._log.close()

    def step(self, step: int, result: StepResult, seconds: float, waited: float) -> None:
        """Record a step that took `seconds`, of which `waited` for data."""
        self._losses.append(main_loss(result.metrics))
        if result.expert_choices is not None:
            counted = result.expert_choices
            self._choices = counted if self._choices is None else self._choices.to(counted.device) + counted
        metrics = {
            **result.metrics,
            "seconds": seconds,
            "tokens_per_second": result.tokens / seconds,
            "samples_per_second": result.samples / seconds,
            "waiting_share": waited / seconds,
            "memory_gb": peak_memory() / 1e9,
        }
        if result.expert_choices is not None:
            metrics["expert_entropy"] = usage_entropy(result.expert_choices)
        if self._steps:
            self._steps.add(step, metrics)
        if self._log:
            self._log.log_metrics(metrics, step)

    def unreported(self) -> dict[str, Any]:
        """The steps' losses and all workers' expert usage since the last report, as JSON; a collective call."""
        choices = None if self._choices is None else all_reduce_sum(self._choices.clone()).tolist()
        return {"losses": list(self._losses), "choices": choices}

    def mean_loss(self) -> float:
        """Mean loss per token over the steps since the last call."""
        mean = sum(self._losses) / max(1, len(self._losses))
        self._losses.clear()
        return mean

    def validation(self, report: dict[str, float], answers: dict[str, list[str]]) -> None:
        """Record a report and all workers' expert usage since the last one; a collective call."""
        step = int(report["step"])
        choices = all_reduce_sum(self._choices) if self._choices is not None else None
        self._choices = None
        if self._reports:
            used = {"expert_choices": choices.tolist()} if choices is not None else {}
            self._reports.add(step, {**report, **used})
        if not self._log:
            return
        # The mean training loss is there for every step already.
        measured = {key: value for key, value in report.items() if key not in _TRAINED}
        if measured:
            self._log.log_metrics(measured, step)
        if answers:
            self._log.log_table("answers.json", {"step": [step] * len(answers["clip"]), **answers})
        if choices is not None:
            self._undrawn = step, choices.cpu()
            if time.monotonic() - self._drawn >= PICTURE_SECONDS:
                self._draw(self._log)

    def _draw(self, log: BackgroundLog) -> None:
        """Log the picture of the last report's usage, unless that was done."""
        if self._undrawn is None:
            return
        (step, counts), self._undrawn, self._drawn = self._undrawn, None, time.monotonic()
        picture = usage_picture(counts, f"{self._job.stage.name}, step {step}: which experts were chosen")
        log.log_file(f"experts/step-{step:06d}.png", picture)


def peak_memory() -> int:
    """Peak memory of this worker in bytes, on its GPU where it has one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
