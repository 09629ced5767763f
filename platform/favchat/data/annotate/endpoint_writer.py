"""The endpoint writer: a model behind an OpenAI-compatible server writes the rows from frames and labels."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import ray
from pydantic import SecretStr
from ray.data import ActorPoolStrategy
from upath import UPath

from favchat.config import Config, ConfigError, require
from favchat.data.annotate.endpoint_prompt import read_prompts
from favchat.data.annotate.endpoint_replies import read_reply, rows_of
from favchat.data.annotate.endpoint_requests import SETTINGS, EndpointCaller
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.rows import Annotation, Written, table_of
from favchat.data.corpus.clip import clip_from_row
from favchat.data.corpus.parquet_files import arrow_place, parquet_files, read_folder
from favchat.data.corpus.schema import ANNOTATION_REJECT_SCHEMA, LABEL_COLUMNS
from favchat.io.paths import path_of
from favchat.runtime import ray_cluster
from favchat.runtime.progress import clip_progress
from favchat.runtime.ray_data import quiet_execution

_READER_CPUS = 0.5
REPLY_CACHE = "reply_cache"
"""Folder of the replies below ``data.out``, unless ``annotate.endpoint.cache`` names another one."""


class EndpointWriter:
    """Sends frames and labels of every clip to a server, concurrently, and validates the replies.

    A clip's rows depend on the clip, the prompts and the model; replies are cached, so that a second run requests only
    what is missing.
    """

    name = "endpoint"

    def __init__(self, config: Config, out: UPath) -> None:
        """Check the settings.

        Args:
            config: The whole configuration; ``annotate`` and ``ray`` are used.
            out: The corpus, for the cache.

        Raises:
            ConfigError: The server or the model is not set, or a prompt is invalid.
        """
        require(config, "annotate.endpoint.base_url", "annotate.endpoint.model")
        settings = config.annotate
        self._config = config
        self._prompts = read_prompts(
            settings.endpoint.prompts, settings.summaries_per_clip, settings.questions_per_clip
        )
        self._cache = path_of(settings.endpoint.cache) if settings.endpoint.cache else out / REPLY_CACHE

    def write(self, shards: UPath) -> Written:
        """Request every clip in a folder of shards, with one asynchronous actor of Ray Data.

        Raises:
            ConfigError: There are no shards; the server rejects the key, does not know the model, or cannot be reached.
        """
        labels = read_folder(shards, [*LABEL_COLUMNS]).sort_by("clip_id")
        ray_cluster.start(self._config.ray)
        with clip_progress("annotate", len(labels)) as progress:
            fates = self._ask(shards, progress)
        faults = [outcome["reason"] for outcome in fates.values() if outcome["stage"] == SETTINGS]
        if faults:
            raise ConfigError(faults[0])
        settings = self._config.annotate
        rows: list[Annotation] = []
        rejects: list[dict[str, Any]] = []
        for clip in map(clip_from_row, labels.to_pylist()):
            outcome = fates[clip.id]
            if outcome["stage"] is not None:
                reject = {"clip_id": clip.id, "split": clip.split, "source": self.name}
                rejects.append(reject | {name: outcome[name] for name in ("stage", "reason")})
                continue
            rows += rows_of(
                read_reply(outcome["reply"]),
                clip,
                known_labels_of(clip),
                summaries=settings.summaries_per_clip,
                questions=settings.questions_per_clip,
                source=self.name,
            )
        return Written(table_of(rows), len(labels), pa.Table.from_pylist(rejects, schema=ANNOTATION_REJECT_SCHEMA))

    def _ask(self, shards: UPath, progress: Any) -> dict[str, dict[str, Any]]:
        """Clip -> its reply, or the stage and reason of its failure."""
        settings = self._config.annotate.endpoint
        key = os.environ.get(settings.api_key_env)
        files = [arrow_place(file)[0] for file in parquet_files(shards)]
        system = arrow_place(shards)[1]
        columns = [*LABEL_COLUMNS, "timestamps", "frames"]
        with quiet_execution():
            fates = ray.data.read_parquet(files, filesystem=system, columns=columns, num_cpus=_READER_CPUS).map_batches(
                EndpointCaller,
                batch_format="pyarrow",
                batch_size=settings.concurrency,
                fn_constructor_kwargs={
                    "settings": settings,
                    "prompts": self._prompts,
                    "key": SecretStr(key) if key else None,
                    "cache": self._cache,
                    "progress": progress,
                },
                # A single actor, so that the limits on requests and tokens hold for the whole run.
                compute=ActorPoolStrategy(size=1),
                num_cpus=0,
                # If its process dies the run fails, and the next one continues from the cached replies.
                max_restarts=0,
                max_task_retries=0,
            )
            return {row["clip_id"]: row for row in fates.iter_rows()}
