"""Write summaries and questions from the labels in the shards."""

from __future__ import annotations

from favchat.config import Config, require
from favchat.data.annotation.pipeline import AnnotateResult, annotate


def run(config: Config) -> AnnotateResult:
    """Annotate the clips in ``data.out``. The template writer is quick enough for one process, so no Ray is started.

    Raises:
        ConfigError: A setting is missing, there are no shards, or one cannot be read.
    """
    require(config, "data.out")
    return annotate(config)
