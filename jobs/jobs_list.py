"""Jobs of a cluster in words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

from ray.job_submission import JobDetails, JobType


def listed(found: Iterable[JobDetails]) -> list[str]:
    """A line a job, the newest first; drivers that were not submitted are left out."""
    ours = [job for job in found if job.type == JobType.SUBMISSION]
    if not ours:
        return ["no jobs"]
    ours.sort(key=lambda job: job.start_time or 0, reverse=True)
    rows = [("JOB", "STATUS", "STARTED", "TOOK", "COMMAND")]
    rows += [(job.submission_id or "", job.status.value, _began(job), _took(job), job.entrypoint) for job in ours]
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return ["  ".join([*(word.ljust(width) for word, width in zip(row, widths, strict=False)), row[4]]) for row in rows]


def told(job: JobDetails) -> list[str]:
    """Lines on one job. Variables are not shown."""
    found = [
        f"{job.submission_id}: {job.status.value.lower()}",
        f"command: {job.entrypoint}",
        f"started: {_began(job)}",
    ]
    found.append(f"took: {_took(job)}" if job.status.is_terminal() else f"runs for: {_took(job)}")
    if job.driver_exit_code is not None:
        found.append(f"exit status: {job.driver_exit_code}")
    if job.message:
        found.append(f"message: {job.message.strip()}")
    return found + [f"{name}: {value}" for name, value in (job.metadata or {}).items()]


def _began(job: JobDetails) -> str:
    if not job.start_time:
        return "not yet"
    return datetime.fromtimestamp(job.start_time / 1000).astimezone().isoformat(" ", "seconds")


def _took(job: JobDetails) -> str:
    if not job.start_time:
        return ""
    seconds = int((job.end_time / 1000 if job.end_time else time.time()) - job.start_time / 1000)
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours}:{minutes % 60:02}:{seconds % 60:02}"
