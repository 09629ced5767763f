"""Turn videos into shards and rejects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from favchat.config import Config, require

if TYPE_CHECKING:
    from favchat.data.pipeline import PrepareResult


def run(config: Config) -> PrepareResult:
    """Prepare the clips of ``data.source`` on the cluster of the ``ray`` section.

    Raises:
        ConfigError: A setting is missing, the source cannot be listed, or ``data.out`` holds clips of another source.
        OSError: The output cannot be written.
    """
    require(config, "data.source.path", "data.out")
    if config.data.source.kind == "celebv_hq":
        require(config, "data.source.annotations")
    from favchat.data.pipeline import prepare

    return prepare(config)
