"""``prepare``: decodes, tracks and aligns clips on a Ray cluster, and writes Parquet shards and rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, Dataset
from upath import UPath

from favchat.config import Config, DataConfig, SourceConfig
from favchat.data.corpus.clip import Clip
from favchat.data.corpus.parquet_files import name_for, parquet_files, read_folder, read_table, write_whole
from favchat.data.corpus.row_settings import check_settings
from favchat.data.corpus.schema import CLIP_SCHEMA, REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.corpus.splits import draw_splits
from favchat.data.listing.entries import BadEntry
from favchat.data.listing.rejects import rejects_file, write_source_rejects
from favchat.data.prepare.clip_rows import ClipProcessor, ready
from favchat.data.prepare.near_duplicates import apply_dedup
from favchat.data.prepare.resume import complete_clips, finished_clips, remove_partial
from favchat.data.sources import list_clips
from favchat.io.paths import path_of
from favchat.runtime import ray_cluster
from favchat.runtime.placement import Demand
from favchat.runtime.progress import clip_progress
from favchat.runtime.ray_data import quiet_execution
from favchat.video import CenterFaceDetector, FaceDetector

# Each detector actor takes most of a CPU; the rest is for write tasks, which the actor pool would otherwise starve.
_DETECTOR_CPUS = 0.9
_WRITER_CPUS = 0.1
_CLIPS_PER_BLOCK = 8
_RETRIES = 1  # bounded, because a clip may kill its process each time


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """Result of ``prepare``. ``clips`` = ``in_shards`` + ``rejected``; both include earlier runs."""

    clips: int
    """Entries the source lists."""
    in_shards: int
    """Of these, rows in the shards."""
    rejected: int
    """Of these, rows in the rejects."""
    skipped: int
    """Of these, done by an earlier run and skipped."""
    reasons: dict[str, int]
    """Stage -> rejects of the source's clips."""
    notes: dict[str, int]
    """What entries of the source lost, such as labels that cannot be read, or what else should be known -> how
    often."""
    shards: UPath
    """Folder of the shards."""
    rejects: UPath
    """Folder of the rejects."""

    def summary(self) -> str:
        """One line for the terminal."""
        stages = ", ".join(f"{count} at {stage}" for stage, count in sorted(self.reasons.items()))
        parts = [f"prepared {self.clips} clips: {self.in_shards} in shards, {self.rejected} rejected"]
        parts += [f" ({stages})"] if stages else []
        parts += [f", {self.skipped} were there already"] if self.skipped else []
        parts += [f"; {what}: {count}" for what, count in self.notes.items()]
        return "".join(parts) + f" -> {self.shards}, {self.rejects}"


def prepare(config: Config, detector: Callable[[], FaceDetector] | None = None) -> PrepareResult:
    """Process the source's clips into shards and rejects, skipping those of earlier runs.

    Ray is started with the ``ray`` section unless it runs or there is nothing to do. Every entry of the source becomes
    exactly one row, in the shards, or in the rejects with the stage and the reason of its failure; this is checked at
    the end.

    Args:
        config: The whole configuration; ``data.source`` and ``data.out`` are used.
        detector: Builds the face detector in each actor; by default ``CenterFaceDetector``.

    Raises:
        ConfigError: The source cannot be listed, or ``data.out`` holds rows made with other settings, or rows whose
            video, segment or labels differ from the source's. Or the cluster can never place ``data.workers``.
        ConnectionError: Ray cannot be reached or started.
        OSError: The output cannot be written.
        RuntimeError: Clips are missing from the output or duplicated.
    """
    settings = config.data
    out = path_of(settings.out or "")
    listing = list_clips(settings.source)
    if settings.source.split is not None:
        given = [clip if clip.split else replace(clip, split=settings.source.split) for clip in listing.clips]
        listing = replace(listing, clips=given)
    clips = draw_splits(listing.clips, settings.splits, config.seed)
    check_settings(config, out)
    bad = _reject_bad(listing.bad, clips, settings.source, out)
    drawn = {clip.id for clip in listing.clips if not clip.split}
    reassignable = {clip.id for clip in clips if clip.id in drawn and clip.identity is None}
    done = finished_clips(out, _clip_table(clips, settings.source.kind), reassignable)
    missing = [clip for clip in clips if clip.id not in done]
    if missing:
        if detector is None:
            detector = partial(CenterFaceDetector, min_score=settings.faces.min_score)
        ready(detector)  # missing weights fail here, before Ray starts
        wanted = min(settings.workers or 1, len(missing))
        ray_cluster.start(config.ray, demands=[Demand("data.workers", wanted, _DETECTOR_CPUS)])
        with clip_progress("prepare", len(missing)) as progress:
            remove_partial(out, _ids(missing))
            _run(missing, settings, out, detector, progress)
            unprocessed = _unprocessed(out, missing)
            if unprocessed:  # their process died; retried alone, clips that only shared it with the culprit succeed
                remove_partial(out, _ids(unprocessed))
                _run(unprocessed, settings, out, detector, progress, alone=True)
        unprocessed = _unprocessed(out, missing)
        if unprocessed:
            remove_partial(out, _ids(unprocessed))
            _write_rejects(_crashed(unprocessed, settings), out)
    apply_dedup(out, clips, drop=settings.duplicates == "drop", drawn=drawn)
    return _count(out, _ids(clips) | set(bad), skipped=len(clips) - len(missing), notes=listing.notes)


def _reject_bad(bad: list[BadEntry], clips: list[Clip], source: SourceConfig, out: UPath) -> list[str]:
    """Write the source's bad entries; return the ids of their rows."""
    own = rejects_file(source, out).name
    taken: set[str] = set()
    for folder in (SHARDS, REJECTS) if bad else ():
        for file in parquet_files(out / folder):
            if file.name != own:
                taken.update(read_table(file, ["clip_id"])["clip_id"].to_pylist())
    return write_source_rejects(bad, source, out, taken | _ids(clips))


def _run(
    clips: list[Clip],
    settings: DataConfig,
    out: UPath,
    detector: Callable[[], FaceDetector],
    progress: ActorHandle,
    *,
    alone: bool = False,
) -> None:
    """Run the pipeline over clips; with ``alone`` each clip is a task of its own, and actors take one at a time."""
    workers = settings.workers or max(1, int(ray.available_resources().get("CPU", 1)))
    with quiet_execution() as context:
        context.execution_options.preserve_order = True  # deterministic: the same clips give the same shards
        # Only a dead process loses a block; its clips are retried, then rejected.
        context.max_errored_blocks = -1
        fates = (
            _dataset(clips, settings.source.kind, 1 if alone else _block_rows(len(clips), workers))
            .map_batches(
                ClipProcessor,
                batch_format="pyarrow",
                fn_constructor_kwargs={"settings": settings, "detector": detector, "progress": progress},
                compute=ActorPoolStrategy(
                    size=min(workers, len(clips)), max_tasks_in_flight_per_actor=1 if alone else None
                ),
                num_cpus=_DETECTOR_CPUS,
                max_task_retries=_RETRIES,
            )
            .map_batches(
                partial(_write, out=out),
                batch_size=settings.clips_per_shard,
                batch_format="pyarrow",
                num_cpus=_WRITER_CPUS,
                max_retries=_RETRIES,
            )
        )
        for outcome in fates.iter_rows():
            if outcome["error"] is not None:
                raise OSError(outcome["error"])


def _block_rows(clips: int, workers: int) -> int:
    """Clips per task: several blocks per worker, so that none idles at the end."""
    return max(1, min(_CLIPS_PER_BLOCK, clips // (4 * workers)))


def _dataset(clips: list[Clip], source: str, block_rows: int) -> Dataset:
    table = _clip_table(clips, source)
    return ray.data.from_arrow([table.slice(start, block_rows) for start in range(0, len(table), block_rows)])


def _clip_table(clips: list[Clip], source: str) -> pa.Table:
    rows = []
    for clip in clips:
        row: dict[str, Any] = asdict(clip)
        row["clip_id"] = row.pop("id")
        rows.append({**row, "source": source})
    return pa.Table.from_pylist(rows, schema=CLIP_SCHEMA)


def _write(batch: pa.Table, out: UPath) -> pa.Table:
    """Write a batch's shard and rejects; errors are returned, because raised ones would look like a dead process."""
    failed = pc.is_valid(batch["stage"])
    error = None
    try:
        kept = batch.filter(pc.invert(failed))
        if len(kept):
            shard = kept.select(SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
            write_whole(shard, out / SHARDS / name_for(shard["clip_id"].to_pylist()))
        _write_rejects(batch.filter(failed).select(REJECT_SCHEMA.names), out)
    except Exception as fault:  # clients of object storage raise errors of their own, not OSError
        error = f"cannot write to {out}: {type(fault).__name__}: {fault}"
    return pa.table({"clip_id": batch["clip_id"], "error": pa.array([error] * len(batch), pa.string())})


def _write_rejects(rejects: pa.Table, out: UPath) -> None:
    if len(rejects):
        write_whole(rejects.cast(REJECT_SCHEMA), out / REJECTS / name_for(rejects["clip_id"].to_pylist()))


def _crashed(clips: list[Clip], settings: DataConfig) -> pa.Table:
    table = _clip_table(clips, settings.source.kind)
    reason = (
        "the process that worked on this clip died each time: a crash in a decoder, out of memory, or more than "
        f"data.seconds_per_clip = {settings.seconds_per_clip:g}"
    )
    for name, value in (("tracks", 1), ("stage", "internal"), ("reason", reason)):
        field = REJECT_SCHEMA.field(name)
        table = table.append_column(field, pa.array([value] * len(table), field.type))
    return table.select(REJECT_SCHEMA.names)


def _rows(out: UPath) -> list[dict[str, Any]]:
    """Id and stage of the rows of shards and rejects; the stage is null in a shard."""
    rows: list[dict[str, Any]] = []
    for name in (SHARDS, REJECTS):
        if parquet_files(out / name):
            extra = ["stage"] if name == REJECTS else []
            rows += [{"stage": None, **row} for row in read_folder(out / name, ["clip_id", *extra]).to_pylist()]
    return rows


def _ids(clips: list[Clip]) -> set[str]:
    return {clip.id for clip in clips}


def _unprocessed(out: UPath, clips: list[Clip]) -> list[Clip]:
    found = complete_clips(out, _ids(clips))
    return [clip for clip in clips if clip.id not in found]


def _count(out: UPath, ids: set[str], *, skipped: int, notes: dict[str, int]) -> PrepareResult:
    """Check that each clip and each bad entry is exactly one row, and count them."""
    rows = [row for row in _rows(out) if row["clip_id"] in ids]
    times = Counter(row["clip_id"] for row in rows)
    wrong = sorted(clip_id for clip_id in ids if times[clip_id] != 1)
    if wrong:
        raise RuntimeError(f"{out}: {len(wrong)} clips are not exactly one row of shards and rejects: {wrong[:5]}")
    stages = Counter(row["stage"] for row in rows if row["stage"] is not None)
    rejected = stages.total()
    return PrepareResult(
        clips=len(ids),
        in_shards=len(ids) - rejected,
        rejected=rejected,
        skipped=skipped,
        reasons=dict(stages),
        notes=notes,
        shards=out / SHARDS,
        rejects=out / REJECTS,
    )
