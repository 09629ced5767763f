"""Ray Train's trainer of a stage, without the two further processes that a stage has no use for."""

from __future__ import annotations

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback

UNUSED = (DatasetsCallback, PlacementGroupCleanerCallback)
"""What starts them in Ray 2.60: 2.5 seconds of CPU time a stage, of 13.5 that the tiny model's takes in all.

The first keeps the datasets that are handed to the trainer; a stage reads its own batches. The second gives back the
workers' CPUs where their controller is killed alone, as :mod:`tune.leftovers` does while a sweep goes on, and the next
command that joins the cluster (:mod:`favchat.runtime.dead_groups`). Without a dashboard it would never end.
"""


class StageTrainer(TorchTrainer):
    """Supervises a stage's workers; is used as Ray's own."""

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        found: list[RayTrainCallback] = super()._create_default_callbacks()  # type: ignore[misc]  # it is there in 2.60
        return [one for one in found if not isinstance(one, UNUSED)]
