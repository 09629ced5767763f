"""Checkpoints of a stage: written atomically, readable with any number of workers, without pickles.

A checkpoint is a folder ``step-000100``. Each worker writes a share of the parameters to ``part-R-of-W.safetensors``:
for each ``NAME:weight``, ``NAME:exp_avg``, ``NAME:exp_avg_sq`` and ``NAME:step``, full tensors, however ZeRO
partitions them. Rank 0 adds ``buffers.safetensors``, the buffers of trainable modules (batch statistics), and
``checkpoint.json``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from favchat.training.stage.errors import CheckpointError

if TYPE_CHECKING:
    from favchat.training.stage.step import State

RECORD = "checkpoint.json"
BUFFERS = "buffers.safetensors"


@dataclass(frozen=True)
class Record:
    """Metadata of a checkpoint."""

    step: int
    """Steps taken. Sampler, rates and random numbers follow from it and the seed."""
    settings: dict[str, Any]
    """Where its weights belong: `init`, the `model` section, the `stage` and the seed."""
    unreported: dict[str, Any] = field(default_factory=dict)
    """What was measured since the last report, see :class:`favchat.training.stage.metrics_recorder.Recorder`."""


def newest(folder: Path) -> Path | None:
    """The last complete checkpoint in a folder."""
    found = [place for place in folder.glob("step-*") if (place / RECORD).is_file()]
    return max(found, key=lambda place: int(place.name.removeprefix("step-")), default=None)


def write(
    folder: Path,
    record: Record,
    states: Iterable[tuple[str, State]],
    buffers: Mapping[str, Tensor],
    *,
    keep: int,
    rank: int = 0,
    workers: int = 1,
) -> Path:
    """Write a checkpoint, then delete all but the last `keep`. Every worker must call this.

    Args:
        folder: Of the stage's checkpoints, on storage that all workers see.
        record: Written last.
        states: Output of an engine's `states`.
        buffers: Buffers of trainable modules, see :func:`learning_buffers`.
        keep: Number of checkpoints to keep.
        rank: Of this worker.
        workers: Number of workers.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: On all workers, if one could not write; earlier checkpoints are kept.
    """
    place = folder / f"step-{record.step:06d}"
    partial = folder / f".{place.name}.partial"
    mine: dict[str, Tensor] = {}
    for index, (name, state) in enumerate(states):
        if index % workers == rank:
            mine |= {f"{name}:{key}": value.detach().cpu().contiguous().clone() for key, value in state.items()}

    def start() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(".step-*.partial"):
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir()

    def write_share() -> None:
        _write_file(partial / f"part-{rank}-of-{workers}.safetensors", save(mine))
        if rank == 0:
            kept = {name: value.detach().cpu().contiguous().clone() for name, value in buffers.items()}
            _write_file(partial / BUFFERS, save(kept))

    def finish() -> None:
        _write_file(partial / RECORD, json.dumps(asdict(record), indent=2).encode())
        shutil.rmtree(place, ignore_errors=True)
        os.replace(partial, place)
        _sync(folder)

    for work, who in ((start, rank == 0), (write_share, True), (finish, rank == 0)):
        run_collective(work if who else None, f"cannot write the checkpoint {place}", folder, partial)
    if rank == 0:
        for old in sorted(folder.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))[:-keep]:
            # The record first: a checkpoint without it is ignored, should the deletion be interrupted.
            (old / RECORD).unlink(missing_ok=True)
            shutil.rmtree(old, ignore_errors=True)
    return place


def run_collective(work: Any, doing: str, checkpoints: Path, partial: Path | None = None) -> None:
    """Run a function on some workers and tell all of them whether it succeeded.

    Args:
        work: A function, or None where this worker has nothing to do.
        doing: Start of the error message.
        checkpoints: Folder of the last good checkpoint, for the message.
        partial: Folder to delete after a failure.

    Raises:
        CheckpointError: On all workers, if `work` raised OSError on one.
    """
    # Imported here: it loads the model's package, which takes seconds and is not needed to look for a checkpoint.
    from favchat.training.stage.collectives import all_gather_objects

    error = None
    if work is not None:
        try:
            work()
        except (OSError, SafetensorError) as caught:
            error = getattr(caught, "strerror", None) or str(caught)
    errors = [error for error in all_gather_objects(error) if error]
    if errors:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        last = newest(checkpoints)
        kept = f"the last good checkpoint is {last}" if last else "there is no earlier checkpoint"
        raise CheckpointError(f"{doing}: {errors[0]}; {kept}. Make room and run the same command again")


def read_record(checkpoint: Path) -> Record:
    """Read a checkpoint's metadata.

    Raises:
        CheckpointError: It is no checkpoint, or corrupt.
    """
    try:
        return Record(**json.loads((checkpoint / RECORD).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{checkpoint}: no checkpoint that can be read: {error}") from error


def read_states(checkpoint: Path) -> dict[str, State]:
    """Read every parameter's state, on the CPU, by name; memory-mapped, so that unused tensors are not read.

    Raises:
        CheckpointError: A part is missing or corrupt.
    """
    states: dict[str, State] = {}
    parts = sorted(checkpoint.glob("part-*-of-*.safetensors"))
    counts = {int(found[1]) for part in parts if (found := re.search(r"-of-(\d+)\.", part.name))}
    if counts != {len(parts)}:
        raise CheckpointError(f"{checkpoint}: parts are missing; delete it, and the one before is taken")
    for part in parts:
        for key, value in _read_file(part).items():
            name, _, kind = key.rpartition(":")
            states.setdefault(name, {})[kind] = value
    return states


def read_buffers(checkpoint: Path) -> dict[str, Tensor]:
    """Read the buffers (batch statistics) of trainable modules."""
    return _read_file(checkpoint / BUFFERS)


def load_weights(model: nn.Module, checkpoint: Path, *, below: str = "", only: Sequence[str] = ()) -> None:
    """Load a checkpoint's weights into a model that was built from its record.

    Args:
        model: The model, or a module of it.
        checkpoint: The checkpoint.
        below: Prefix of that module's parameters in the whole model, such as ``model.``.
        only: Submodules to load; by default everything that the checkpoint holds.

    Raises:
        CheckpointError: It belongs to another model.
    """
    weights = {name: state["weight"] for name, state in read_states(checkpoint).items()} | read_buffers(checkpoint)
    places = dict(model.named_parameters()) | dict(model.named_buffers())
    for key, value in weights.items():
        name = key.removeprefix(below)
        if only and name.split(".")[0] not in only:
            continue
        if name not in places or places[name].shape != value.shape:
            raise CheckpointError(f"{checkpoint}: {name} {tuple(value.shape)} fits no part of the model")
        with torch.no_grad():
            places[name].copy_(value)


def learning_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Persistent buffers of modules in training mode: batch statistics."""
    saved = model.state_dict().keys()
    return {
        f"{prefix}.{name}": buffer
        for prefix, module in model.named_modules()
        if module.training
        for name, buffer in module.named_buffers(recurse=False)
        if f"{prefix}.{name}" in saved
    }


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def _write_file(path: Path, data: bytes) -> None:
    # Plain writes raise OSError on a full disk; memory-mapped ones would kill the process (SIGBUS).
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
