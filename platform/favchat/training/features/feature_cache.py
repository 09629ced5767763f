"""Cache of frozen encoders' features: computed once per shard and stored beside the shards.

``features/ENCODERS/SHARD.arrow`` in the corpus's folder holds the features of one shard. ENCODERS is a hash of
everything that they depend on: both encoders' weights and settings, the processor's settings, and the frames and grid
cells that are kept. SHARD is a hash of the shard's Parquet footer (with every column's size and statistics), file size
and modification time. Any change gives another name, so that no stale file is read. Files are written atomically; two
runs that fill the cache concurrently write the same bytes under the same name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from rich.console import Console
from rich.progress import track

from favchat.config import Config, StageConfig
from favchat.runtime.threads import available_threads
from favchat.training.features.fingerprint import encoders_frozen
from favchat.training.stage.errors import TrainingError


def stage_features(
    config: Config, stage: StageConfig, init: str | None, shards: Iterable[str]
) -> dict[str, str] | None:
    """Return the cached features of a stage, or None where it trains on images; Ray Data computes missing ones first.

    Args:
        config: The configuration; ``data.out`` is the corpus.
        stage: The stage.
        init: Model or checkpoint that it starts from, see :func:`favchat.training.stage.starting_model.starting_model`.
        shards: Paths of the shards that the stage reads.

    Returns:
        The feature file of each shard, for :class:`favchat.training.batches.stage_source.StageSource`.

    Raises:
        ConfigError: The model cannot be loaded.
        TrainingError: The features cannot be computed or written.
    """
    if not stage.cache_features or not encoders_frozen(stage.trainable):
        return None
    import ray

    from favchat.runtime.in_worker import run_in_worker
    from favchat.runtime.ray_data import quiet_execution

    def locate() -> tuple[dict[str, str], list[str]]:
        """The file of each shard, and the shards without one. The model, needed for the names, is freed on return."""
        from favchat.training.features.feature_encoder import Encoder

        encoder = Encoder(config, stage, init)
        files = {shard: encoder.file(shard) for shard in sorted(shards)}
        return {shard: str(file) for shard, file in files.items()}, [s for s in files if not files[s].exists()]

    class Encoding:
        def __init__(self) -> None:
            import torch

            from favchat.training.features.feature_encoder import Encoder

            torch.set_num_threads(available_threads())
            self._encoder = Encoder(config, stage, init)

        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            return {"file": self._encoder.encode(row["shard"])}

    try:
        # On a GPU where the stage has some: the precision, which is part of the file names, depends on it.
        files, missing = run_in_worker(locate, gpus=1 if config.training.use_gpu else 0)
        if missing:
            gpus = 1 if config.training.use_gpu else None
            free = max(1, int(ray.available_resources().get("CPU", 1)))
            count = min(len(missing), config.training.num_workers if gpus else free)
            actors = ray.data.ActorPoolStrategy(min_size=1, max_size=count)
            # With fewer shards than CPUs, each task gets several.
            cpus = None if gpus else free // count
            with quiet_execution():
                rows = [{"shard": shard} for shard in missing]
                data = ray.data.from_items(rows, override_num_blocks=len(rows))
                done = data.map(cast(Any, Encoding), compute=actors, num_cpus=cpus, num_gpus=gpus).iter_rows()
                _show(stage.name, done, len(missing))
    except (ray.exceptions.RayError, OSError) as error:
        by_ray = isinstance(error, ray.exceptions.RayError)
        cause = (getattr(error, "cause", None) or error.__cause__ or error) if by_ray else error
        raise TrainingError(f"stage '{stage.name}': the features of its clips cannot be computed: {cause}") from error
    return files


def _show(stage: str, done: Iterable[Any], shards: int) -> None:
    """Consume the results of the shards: with a progress bar on a terminal, with one log line elsewhere."""
    console, label = Console(stderr=True), f"train {stage}: features of {shards} shard{'s' if shards > 1 else ''}"
    if not console.is_terminal:
        console.print(label, highlight=False)
    for _ in track(done, label, total=shards, console=console, transient=True, disable=not console.is_terminal):
        pass
