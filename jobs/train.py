"""Train the staged curriculum."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING

from favchat.config import Config, require
from favchat.data.corpus.requirements import check_corpus
from favchat.runtime.preload import preload_training
from favchat.training.resources import demands

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
    preload_training(config.ray)
    # Beside Ray's start, of which most is other processes.
    beside = threading.Thread(target=_get_ready, args=(config,), daemon=True)
    beside.start()
    from favchat.runtime import ray_cluster

    ray_cluster.start(config.ray, demands=demands(config))
    beside.join()
    from favchat.training.curriculum import train

    return train(config, parent=parent)


def _get_ready(config: Config) -> None:
    import_module("favchat.training.curriculum")
    from favchat.tracking import create_store

    create_store(config.tracking)
