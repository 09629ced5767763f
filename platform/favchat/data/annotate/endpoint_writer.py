"""The endpoint writer: a model behind an OpenAI-compatible server writes the rows from frames and labels."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from pydantic import SecretStr
from ray.data import ActorPoolStrategy
from upath import UPath

from favchat.config import Config, ConfigError, require
from favchat.data.annotate.endpoint_prompt import read_prompts
from favchat.data.annotate.endpoint_replies import read_reply, rows_of
from favchat.data.annotate.endpoint_requests import OUTCOME_SCHEMA, SETTINGS, EndpointCaller
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.annotate.rows import Annotation, Writer, Written, table_of
from favchat.data.corpus.clip import clip_from_row
from favchat.data.corpus.ledger import ledger_files
from favchat.data.corpus.parquet_files import arrow_place, name_for, parquet_files, read_table, write_whole
from favchat.data.corpus.schema import ANNOTATION_REJECT_SCHEMA, LABEL_COLUMNS, SHARDS
from favchat.io.files import remove_tree
from favchat.io.paths import path_of
from favchat.runtime import ray_cluster
from favchat.runtime.progress import clip_progress
from favchat.runtime.ray_data import quiet_execution

_READER_CPUS = 0.5
_OUTCOMES_A_FILE = 512
OUTCOMES = "annotating/outcomes"
"""Folder below ``data.out`` of what became of each clip of a run that goes on."""
REPLY_CACHE = "reply_cache"
"""Folder of the replies below ``data.out``, unless ``annotate.endpoint.cache`` names another one."""


class EndpointWriter(Writer):
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

    def begin(self, out: UPath) -> None:
        """Request every clip in the shards, with one asynchronous actor of Ray Data.

        Raises:
            ConfigError: There are no shards; the server rejects the key, does not know the model, or cannot be reached.
        """
        files = parquet_files(out / SHARDS)
        ray_cluster.start(self._config.ray)
        if (out / OUTCOMES).exists():
            remove_tree(out / OUTCOMES)
        with clip_progress("annotate", sum(ledger_files(out, SHARDS).values())) as progress:
            self._ask(files, out, progress)

    def extend(self, rows: pa.Table, out: UPath) -> pa.Table:
        """Add each clip's ``reply``, or the ``stage`` and ``reason`` of its failure."""
        shards = {name.rpartition("/")[2].removesuffix(".parquet") for name in rows["file"].unique().to_pylist()}
        files = [file for file in parquet_files(out / OUTCOMES) if file.name.rpartition("-")[0] in shards]
        tables = [OUTCOME_SCHEMA.empty_table(), *(read_table(file, OUTCOME_SCHEMA.names) for file in files)]
        outcomes = pa.concat_tables(tables, promote_options="permissive")
        places = pc.index_in(rows["clip_id"], outcomes["clip_id"].combine_chunks())
        for name in ("reply", "stage", "reason"):
            rows = rows.append_column(name, outcomes[name].take(places))
        return rows

    def write(self, rows: pa.Table, survey: Counter[tuple[str, bool]]) -> Written:
        """Write every clip's rows from its reply."""
        settings = self._config.annotate
        written: list[Annotation] = []
        rejects: list[dict[str, Any]] = []
        columns = [*LABEL_COLUMNS, "reply", "stage", "reason"]
        for row in rows.select(columns).to_pylist():
            outcome = {name: row.pop(name) for name in ("reply", "stage", "reason")}
            clip = clip_from_row(row)
            if outcome["stage"] is not None:
                reject = {"clip_id": clip.id, "split": clip.split, "source": self.name}
                rejects.append(reject | {name: outcome[name] for name in ("stage", "reason")})
                continue
            written += rows_of(
                read_reply(outcome["reply"]),
                clip,
                known_labels_of(clip),
                summaries=settings.summaries_per_clip,
                questions=settings.questions_per_clip,
                source=self.name,
            )
        return Written(table_of(written), pa.Table.from_pylist(rejects, schema=ANNOTATION_REJECT_SCHEMA))

    def _ask(self, files: list[UPath], out: UPath, progress: Any) -> None:
        """Write each clip's reply, or the stage and reason of its failure, into files named after its shard."""
        settings = self._config.annotate.endpoint
        key = os.environ.get(settings.api_key_env)
        places, system = [arrow_place(file)[0] for file in files], arrow_place(out)[1]
        columns = [*LABEL_COLUMNS, "timestamps", "frames"]
        with quiet_execution():
            fates = (
                ray.data.read_parquet(
                    places, filesystem=system, columns=columns, include_paths=True, num_cpus=_READER_CPUS
                )
                .map_batches(
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
                .map_batches(
                    partial(_keep, folder=out / OUTCOMES),
                    batch_format="pyarrow",
                    batch_size=_OUTCOMES_A_FILE,
                    num_cpus=_READER_CPUS,
                )
            )
            faults = [row["fault"] for row in fates.iter_rows() if row["fault"] is not None]
        if faults:
            raise ConfigError(faults[0])


def _keep(outcomes: pa.Table, folder: UPath) -> pa.Table:
    """Write outcomes, and tell a fault that every clip meets."""
    shards = pc.replace_substring_regex(outcomes["path"], r"^.*/|\.parquet$", "")
    for shard in shards.unique().to_pylist():
        rows = outcomes.filter(pc.equal(shards, shard))
        write_whole(rows, folder / f"{shard}-{name_for(rows['clip_id'].to_pylist())}")
    faults = outcomes.filter(pc.field("stage") == SETTINGS)["reason"].to_pylist()
    return pa.table({"fault": pa.array(faults[:1] or [None], pa.string())})
