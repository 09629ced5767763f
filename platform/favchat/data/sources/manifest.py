"""A table of clips as a source: CSV, JSON Lines or Parquet with one row a clip; docs/sources.md lists the columns."""

from __future__ import annotations

import csv
import difflib
import io
import json
import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from favchat.attributes import ACTION, APPEARANCE, EMOTION
from favchat.config import ConfigError, SourceConfig
from favchat.data import addresses
from favchat.data.clips import Clip, checked_box
from favchat.data.sources.listing import clip_ids, emotion_name, safe, some_present

_LOG = logging.getLogger(__name__)
_SHOWN = 20
_CORNERS = ("x0", "y0", "x1", "y1")
_LABELS = {**dict.fromkeys(("yes", "true", "1", "1.0"), 1), **dict.fromkeys(("no", "false", "0", "0.0"), 0), "": None}

COLUMNS = frozenset(
    {"video", "id", "start", "end", "identity", "split", "emotion", "box", *_CORNERS}
    | {attribute.name for attribute in (*APPEARANCE, *ACTION, *EMOTION)}
)
"""The columns that are read, their names compared without case; others are named in the log and left aside."""

Row = dict[str, Any]


def manifest_clips(source: SourceConfig) -> list[Clip]:
    """The clips of the table ``source.path``, in its order, whether or not their videos are there.

    Raises:
        ConfigError: The file is missing or no such table, has no column ``video``, or has malformed rows, which are
            all named by their numbers; the first row has number 1. Or none of the videos is there.
    """
    path = addresses.absolute(source.path or "")
    if not addresses.is_file(path):
        raise ConfigError(
            f"data.source.path: {path} does not exist; kind=manifest expects a CSV, JSON Lines or Parquet"
        )
    rows = [{name.strip().lower(): _value(value) for name, value in row.items()} for row in _read(path)]
    _check_columns(path, rows)
    named_splits = any(row.get("split") is not None for row in rows)
    folder = addresses.parent(path)
    faults: dict[int, str] = {}
    found: dict[int, Clip] = {}
    for number, row in enumerate(rows, start=1):
        try:
            clip = _clip(row, folder)
            if named_splits and not clip.split:
                raise ValueError("split is empty, and other rows name theirs; name all or leave the column out")
            found[number] = clip
        except ValueError as error:
            faults[number] = str(error)
    clips = _with_ids(found, folder, faults)
    if faults:
        raise ConfigError(_report(path, faults))
    return some_present(clips, path)


def _read(path: str) -> list[Row]:
    content = addresses.read_bytes(path)
    kind = path.rpartition(".")[2].lower()
    try:
        if kind == "parquet":
            return list(pq.read_table(pa.BufferReader(content)).to_pylist())
        text = content.decode("utf-8-sig")
        if kind in ("jsonl", "ndjson"):
            return _json_lines(path, text)
        if kind == "csv":
            return _csv(path, text)
    except (UnicodeDecodeError, pa.ArrowInvalid, csv.Error) as error:
        raise ConfigError(f"data.source.path: {path} is no {kind} file: {error}") from error
    raise ConfigError(f"data.source.path: {path} must end in .csv, .jsonl or .parquet")


def _json_lines(path: str, text: str) -> list[Row]:
    rows: list[Row] = []
    faults: dict[int, str] = {}
    lines = [line for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            faults[number] = f"is no JSON: {error}"
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            faults[number] = "is no JSON object"
    if faults:
        raise ConfigError(_report(path, faults))
    return rows


def _csv(path: str, text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = list(reader)
    faults = {
        number: "has another number of values than the header"
        for number, row in enumerate(rows, start=1)
        if None in row or (None in row.values() and len(row) > 1)
    }
    if faults:
        raise ConfigError(_report(path, faults))
    return rows


def _value(value: Any) -> Any:
    """Empty text and NaN, which Parquet writers put for "nothing", become None."""
    if isinstance(value, str):
        return value.strip() or None
    return None if isinstance(value, float) and math.isnan(value) else value


def _check_columns(path: str, rows: list[Row]) -> None:
    if not rows:
        raise ConfigError(f"data.source.path: {path} has no row")
    names = {name for row in rows for name in row}
    if "video" not in names:
        raise ConfigError(f"data.source.path: {path} has no column 'video'; its columns are {', '.join(sorted(names))}")
    if 0 < len(names.intersection(_CORNERS)) < len(_CORNERS):
        missing = ", ".join(name for name in _CORNERS if name not in names)
        raise ConfigError(
            f"data.source.path: {path}: a box needs the columns {', '.join(_CORNERS)}; missing: {missing}"
        )
    for name in sorted(names - COLUMNS):
        near = difflib.get_close_matches(name, COLUMNS, n=1)
        _LOG.warning("%s: column '%s' is not used%s", path, name, f"; did you mean '{near[0]}'?" if near else "")


def _clip(row: Row, folder: str) -> Clip:
    video = row.get("video")
    if not isinstance(video, str):
        raise ValueError("video is empty" if video is None else f"video = {video!r} is no text")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"end = {end:g} must come after start = {start or 0.0:g}")
    clip_id = _text(row, "id") or ""
    if clip_id != safe(clip_id):
        raise ValueError(f"id = {clip_id!r} is no file name; letters, digits, '.', '_' and '-' may be used")
    return Clip(
        id=clip_id,
        video=addresses.join(folder, video),
        start=start or 0.0,
        end=end,
        identity=_text(row, "identity"),
        split=_text(row, "split") or "",
        box=_box(row),
        appearance=[_label(row, attribute.name) for attribute in APPEARANCE],
        action=[_label(row, attribute.name) for attribute in ACTION],
        emotion=_emotion(row),
    )


def _with_ids(found: dict[int, Clip], folder: str, faults: dict[int, str]) -> list[Clip]:
    """The clips with ids: the row's own, else its video's path and seconds. Rows that share one are faults."""
    names = []
    for clip in found.values():
        base = folder.rstrip("/") + "/"
        name = clip.video.removeprefix(base).rpartition("://")[2].lstrip("/")
        part = f"-{clip.start:g}-{'' if clip.end is None else f'{clip.end:g}'}"
        stem, dot, suffix = name.rpartition(".")
        names.append(name if clip.start == 0 and clip.end is None else f"{stem}{part}{dot}{suffix}")
    clips: list[Clip] = []
    first: dict[str, int] = {}
    for (number, clip), clip_id in zip(found.items(), clip_ids(names), strict=True):
        clip_id = clip.id or clip_id
        earlier = first.setdefault(clip_id.casefold(), number)
        if earlier != number:
            what = f"id = {clip_id!r}" if clip.id else "video, start and end"
            faults[number] = f"{what}: the same as in row {earlier}"
        clips.append(replace(clip, id=clip_id))
    return clips


def _text(row: Row, name: str) -> str | None:
    value = row.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise ValueError(f"{name} = {value!r} is no text")
    return None if value is None else str(value)


def _seconds(row: Row, name: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} = {value!r} is no time in seconds from the start of the video")
    return seconds


def _box(row: Row) -> tuple[float, float, float, float] | None:
    value, corners = row.get("box"), [row.get(name) for name in _CORNERS]
    if value is None and all(corner is None for corner in corners):
        return None
    if value is None:
        return checked_box(corners)
    if isinstance(value, str):
        value = value.strip("[]()").split(",")
    if not isinstance(value, Iterable):
        raise ValueError(f"box = {value!r} must be x0,y0,x1,y1")
    return checked_box(list(value))


def _label(row: Row, name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    word = str(value).strip().lower()
    if word not in _LABELS:
        raise ValueError(f"{name} = {value!r}; a label is yes, no, 1, 0, true, false or empty (unknown)")
    return _LABELS[word]


def _emotion(row: Row) -> str | None:
    """From the column ``emotion``, or the one of the eight columns that says yes; "no" alone tells nothing."""
    shown = {emotion.name for emotion in EMOTION if _label(row, emotion.name) == 1}
    if row.get("emotion") is not None:
        shown.add(emotion_name(row["emotion"]))
    if len(shown) > 1:
        raise ValueError(f"has several emotions: {', '.join(sorted(shown))}")
    return shown.pop() if shown else None


def _report(path: str, faults: dict[int, str]) -> str:
    """Every fault's row number; the first few with the reason, the rest as ranges."""
    numbers = sorted(faults)
    lines = [f"data.source.path: {path}: {len(faults)} malformed rows (the first row is 1)"]
    lines += [f"  row {number}: {faults[number]}" for number in numbers[:_SHOWN]]
    if len(numbers) > _SHOWN:
        lines.append(f"  and rows {_ranges(numbers[_SHOWN:])}")
    return "\n".join(lines)


def _ranges(numbers: list[int]) -> str:
    """[3, 4, 5, 9] -> "3-5, 9"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)
