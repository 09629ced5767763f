"""Train the staged curriculum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from favchat.config import Config, require
from favchat.data.corpus.requirements import check_corpus
from favchat.runtime.preload import preload_model

if TYPE_CHECKING:
    from favchat.tracking import Run
    from favchat.training.curriculum import TrainResult


def run(config: Config, *, parent: Run | None = None) -> TrainResult:
    """Train every stage on the cluster of the ``ray`` section, in a run below `parent` if there is one.

    Raises:
        ConfigError: A setting is missing or does not fit what lies in ``data.out`` and ``training.out``, or the cluster
            can never place the workers.
        ConnectionError: Ray cannot be reached or started.
    """
    corpus, _ = require(config, "data.out", "training.out")
    check_corpus(corpus, annotations=True)
    preload_model(config.ray)
    from favchat.training.curriculum import train

    return train(config, parent=parent)
