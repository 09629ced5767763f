"""Train the staged curriculum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from favchat import cluster
from favchat.config import Config, require

if TYPE_CHECKING:
    from favchat.training.curriculum import TrainResult


def run(config: Config) -> TrainResult:
    """Train every stage on the cluster of the ``ray`` section.

    Raises:
        ConfigError: A setting is missing or does not fit what lies in ``data.out`` and ``training.out``.
    """
    require(config, "data.out", "training.out")
    cluster.start(config.ray)
    from favchat.training.curriculum import train

    return train(config)
