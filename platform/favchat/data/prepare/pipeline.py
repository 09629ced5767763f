"""``prepare``: decodes, tracks and aligns clips on a Ray cluster, and writes Parquet shards and rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, Dataset
from upath import UPath

from favchat.backbones import assets
from favchat.config import Config, DataConfig, SourceConfig
from favchat.data.corpus.ledger import compact_ledger, ledger_parts, write_rows
from favchat.data.corpus.row_settings import check_settings
from favchat.data.corpus.schema import CLIP_SCHEMA, REJECT_SCHEMA, REJECTS, SHARD_SCHEMA, SHARDS
from favchat.data.listing.entries import BadEntry
from favchat.data.listing.rejects import rejects_file, write_source_rejects
from favchat.data.prepare.clip_plan import PLANNING, ClipList, by_clip
from favchat.data.prepare.clip_rows import ClipProcessor
from favchat.data.prepare.listed import listed_clips
from favchat.data.prepare.near_duplicates import apply_dedup, needs_tasks
from favchat.data.prepare.resume import find_missing, remove_partial, unfinished
from favchat.data.sources import list_clips
from favchat.io.files import remove_tree
from favchat.io.paths import path_of
from favchat.runtime import ray_cluster
from favchat.runtime.placement import Demand
from favchat.runtime.progress import clip_progress
from favchat.runtime.ray_data import quiet_execution
from favchat.video import ClipSpecification, FaceDetector
from favchat.video.onnx_session import onnx_session

# Each detector actor takes most of a CPU; the rest is for write tasks, which the actor pool would otherwise starve.
_DETECTOR_CPUS = 0.9
_WRITER_CPUS = 0.1
_CLIPS_PER_BLOCK = 8
_JPEG = 0.15  # share of the bytes of pixels, docs/choices.md
_FULLEST = 1.5  # most clips are no square and have fewer than all frames: what they may hold is seldom reached
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
        detector: Builds the face detector in each actor; by default the clip specification's.

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
    check_settings(config, out)
    listed = listed_clips(listing, settings, config.seed)
    bad = _reject_bad(listing.bad, listed, settings.source, out)
    if listed.large:
        ray_cluster.start(config.ray)
    missing = find_missing(out, listed)
    if missing.clips.rows:
        if detector is None:
            detector = ClipSpecification.of(settings).make_detector
            onnx_session(str(assets.path("centerface")), 1)  # missing or damaged weights fail here, before Ray starts
        wanted = min(settings.workers or 1, missing.clips.rows)
        ray_cluster.start(config.ray, demands=[Demand("data.workers", wanted, _DETECTOR_CPUS)])
        with clip_progress("prepare", missing.clips.rows) as progress:
            remove_partial(out, missing.partial)
            _run(missing.clips, settings, out, detector, progress)
            rest = unfinished(out, missing.clips)
            if rest.clips.rows:  # their process died; alone, clips that only shared it with the culprit succeed
                remove_partial(out, rest.partial)
                _run(rest.clips, settings, out, detector, progress, alone=True)
                rest = unfinished(out, missing.clips)
        remove_partial(out, rest.partial)
        for table in filter(len, rest.clips.each()):
            write_rows(_crashed(table, settings), out, REJECTS)
    if needs_tasks(out):
        ray_cluster.start(config.ray)
    apply_dedup(out, listed, drop=settings.duplicates == "drop")
    compact_ledger(out)
    result = _count(out, listed, bad, skipped=listed.rows - missing.clips.rows, notes=listing.notes)
    remove_tree(out / PLANNING)
    return result


def _reject_bad(bad: list[BadEntry], listed: ClipList, source: SourceConfig, out: UPath) -> list[str]:
    """Write the source's bad entries; return the ids of their rows."""
    own = f"{REJECTS}/{rejects_file(source, out).name}"

    def taken() -> Iterator[pa.ChunkedArray]:
        for part in ledger_parts(out):
            yield part.read(["clip_id", "file"]).filter(pc.field("file") != own)["clip_id"]
        yield from (table["clip_id"] for table in listed.each())

    return write_source_rejects(bad, source, out, taken())


def _run(
    clips: ClipList,
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
            _dataset(clips, 1 if alone else _block_rows(clips.rows, workers))
            .map_batches(
                ClipProcessor,
                batch_format="pyarrow",
                fn_constructor_kwargs={"settings": settings, "detector": detector, "progress": progress},
                compute=ActorPoolStrategy(
                    size=min(workers, clips.rows), max_tasks_in_flight_per_actor=1 if alone else None
                ),
                num_cpus=_DETECTOR_CPUS,
                max_task_retries=_RETRIES,
            )
            .map_batches(
                partial(_write, out=out, shard_bytes=settings.shard_bytes),
                batch_size=batch_rows(settings),
                batch_format="pyarrow",
                num_cpus=_WRITER_CPUS,
                max_retries=_RETRIES,
            )
        )
        for written in fates.iter_rows():
            if written["error"] is not None:
                raise OSError(written["error"])


def _block_rows(clips: int, workers: int) -> int:
    """Clips per task: several blocks per worker, so that none idles at the end."""
    return max(1, min(_CLIPS_PER_BLOCK, clips // (4 * workers)))


def _dataset(clips: ClipList, block_rows: int) -> Dataset:
    if clips.large:
        return clips.dataset(CLIP_SCHEMA.names).repartition(target_num_rows_per_block=block_rows)
    table = clips.table().select(CLIP_SCHEMA.names)
    return ray.data.from_arrow([table.slice(start, block_rows) for start in range(0, len(table), block_rows)])


def batch_rows(settings: DataConfig) -> int:
    """Rows that are gathered before they are written: about as many as a shard holds, see ``data.shard_bytes``."""
    pixels = settings.frames.max_frames * 3 * (settings.frames.side**2 + settings.faces.size**2)
    expected = pixels * (1 if settings.encoding == "raw" else _JPEG)
    return max(1, min(settings.clips_per_shard, int(_FULLEST * settings.shard_bytes / expected)))


def divided(rows: pa.Table, limit: int) -> list[pa.Table]:
    """Divide rows into shards of about equal size, of at most so many bytes of images each if a row has fewer."""
    sizes = np.zeros(len(rows))
    for name in ("frames", "faces"):
        column = rows[name].combine_chunks()
        lengths = pc.binary_length(pc.list_flatten(column)).to_numpy(zero_copy_only=False)
        sizes += np.bincount(pc.list_parent_indices(column), lengths, minlength=len(rows))
    shards, begin = [], 0
    wanted = max(1, sizes.sum() / max(1, np.ceil(sizes.sum() / limit)))  # not 0: rows without images end no shard
    for end in range(1, len(rows) + 1):
        held = sizes[begin:end].sum()
        if end == len(rows) or held >= wanted or held + sizes[end] > limit:
            shards.append(rows.slice(begin, end - begin))
            begin = end
    return shards


def _write(batch: pa.Table, out: UPath, shard_bytes: int = 2**30) -> pa.Table:
    """Write a batch's shard and rejects; errors are returned, because raised ones would look like a dead process."""
    failed = pc.is_valid(batch["stage"])
    error = None
    try:
        kept = batch.filter(pc.invert(failed))
        for shard in divided(kept.select(SHARD_SCHEMA.names).cast(SHARD_SCHEMA), shard_bytes):
            write_rows(shard, out, SHARDS)
        lost = batch.filter(failed)
        if len(lost):
            faces = dict(zip(*(lost[name].to_pylist() for name in ("clip_id", "track")), strict=True))
            tracks = {row: face or 0 for row, face in faces.items()}
            write_rows(lost.select(REJECT_SCHEMA.names).cast(REJECT_SCHEMA), out, REJECTS, tracks)
    except Exception as fault:  # clients of object storage raise errors of their own, not OSError
        error = f"cannot write to {out}: {type(fault).__name__}: {fault}"
    return pa.table({"error": pa.array([error], pa.string())})


def _crashed(table: pa.Table, settings: DataConfig) -> pa.Table:
    reason = (
        "the process that worked on this clip died each time: a crash in a decoder, out of memory, or more than "
        f"data.seconds_per_clip = {settings.seconds_per_clip:g}"
    )
    for name, value in (("tracks", 1), ("stage", "internal"), ("reason", reason)):
        field = REJECT_SCHEMA.field(name)
        table = table.append_column(field, pa.array([value] * len(table), field.type))
    return table.select(REJECT_SCHEMA.names).cast(REJECT_SCHEMA)


def _count(out: UPath, listed: ClipList, bad: list[str], *, skipped: int, notes: dict[str, int]) -> PrepareResult:
    """Check that each clip and each bad entry is exactly one row, and count them."""
    tables = [*by_clip(listed, ["clip_id"], out, ["clip_id", "clip", "stage"], _tally)]
    if bad:
        entries = pa.table({"clip_id": pa.array(bad, pa.string())})
        rows = [part.read(["clip_id", "stage"]) for part in ledger_parts(out)]
        rows = [one.filter(pc.is_in(one["clip_id"], entries["clip_id"].combine_chunks())) for one in rows]
        tables.append(_tally(entries, pa.concat_tables(rows), 0))
    stages: Counter[str] = Counter()
    wrong, some = 0, list[str]()
    for row in pa.concat_tables(tables).to_pylist():
        stages.update(dict(row["stages"]))
        wrong += row["wrong"]
        some += row["some"]
    if wrong:
        raise RuntimeError(f"{out}: {wrong} clips are not exactly one row of shards and rejects: {sorted(some)[:5]}")
    rejected = stages.total()
    return PrepareResult(
        clips=listed.rows + len(bad),
        in_shards=listed.rows + len(bad) - rejected,
        rejected=rejected,
        skipped=skipped,
        reasons=dict(stages),
        notes=notes,
        shards=out / SHARDS,
        rejects=out / REJECTS,
    )


def _tally(listed: pa.Table, held: pa.Table, number: int) -> pa.Table:
    """Count the rejects of some clips by stage, and the clips that are not exactly one row."""
    ids = listed["clip_id"]
    rows = held.filter(pc.is_in(held["clip_id"], ids.combine_chunks()))
    times = rows.group_by("clip_id").aggregate([([], "count_all")])
    once = times["clip_id"].filter(pc.equal(times["count_all"], 1))
    wrong = ids.filter(pc.invert(pc.is_in(ids, once.combine_chunks())))
    stages = [(one["values"], one["counts"]) for one in rows["stage"].drop_null().value_counts().to_pylist()]
    values = {"stages": [stages], "wrong": [len(wrong)], "some": [wrong.slice(0, 5).to_pylist()]}
    return pa.table(values, schema=_TALLY)


_TALLY = pa.schema(
    [("stages", pa.map_(pa.string(), pa.int64())), ("wrong", pa.int64()), ("some", pa.list_(pa.string()))]
)
