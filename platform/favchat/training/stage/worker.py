"""What Ray Train calls in each worker of a stage.

Ray Train's controller, which only looks after the workers, loads this module too: what trains is imported in the
workers alone, or every stage would start seconds later.
"""

from __future__ import annotations

from typing import Any

from favchat.training.stage.job import StageJob


def run(settings: dict[str, StageJob]) -> dict[str, Any]:
    """Train one stage, from its last checkpoint where it has one, and leave the finished model in its folder.

    Every report to Ray Train has ``step``, ``language_loss`` (mean of the steps since the last report) and, where the
    corpus has clips for it, ``val_loss``.

    Args:
        settings: ``{"job": StageJob}``, as Ray Train hands a mapping over.

    Returns:
        ``{"metrics": the last report}``, or ``{"fault": message}`` for what a retry would only meet again: Ray Train
        starts workers anew after every exception.
    """
    from favchat.training.stage.errors import TrainingError
    from favchat.training.stage.train_loop import train_stage

    try:
        return {"metrics": train_stage(settings["job"])}
    except TrainingError as fault:
        return {"fault": f"stage '{settings['job'].stage.name}', {fault}"}
