"""The tasks by name. A new one is a file with a ``TASK`` here, one line below, and its name in ``TaskName``."""

from __future__ import annotations

from favchat.evaluation.tasks import (
    celebv_hq_attributes,
    celebv_hq_emotion,
    dfew,
    ferv39k,
    linear_probe,
    mafw,
    questions,
    summaries,
)
from favchat.evaluation.tasks.base import Task

TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK
    for module in (
        questions,
        summaries,
        celebv_hq_attributes,
        celebv_hq_emotion,
        dfew,
        mafw,
        ferv39k,
        linear_probe,
    )
}
