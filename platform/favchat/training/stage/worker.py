"""Entry point of each Ray Train worker of a stage.

Ray Train's controller, which only supervises the workers, imports this module too. The training code is therefore
imported lazily, in the workers only; otherwise every stage would start seconds later.
"""

from __future__ import annotations

from typing import Any

from favchat.training.stage.job import StageJob


def run(settings: dict[str, StageJob]) -> dict[str, Any]:
    """Train one stage, from its last checkpoint if there is one, and save the finished model in its folder.

    Where the job says how far to go, a checkpoint takes the model's place.

    Every report to Ray Train has ``step``, ``language_loss`` (mean of the steps since the last report) and, where the
    corpus has clips for it, ``val_loss``.

    Args:
        settings: ``{"job": StageJob}``, since Ray Train passes a mapping.

    Returns:
        ``{"metrics": the last report}``, or ``{"fault": message}`` for errors that a retry would only reproduce: Ray
        Train restarts the workers after any exception.
    """
    from favchat.training.stage.errors import TrainingError
    from favchat.training.stage.train_loop import train_stage

    try:
        return {"metrics": train_stage(settings["job"])}
    except TrainingError as fault:
        return {"fault": f"stage '{settings['job'].stage.name}', {fault}"}
