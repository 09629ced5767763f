"""A table of clips as a source: CSV, JSON Lines or Parquet with one row per clip; docs/sources.md lists the columns."""

from __future__ import annotations

import csv
import difflib
import io
import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip, checked_box
from favchat.data.listing.annotation_files import Object, check_keys, decoded, number, parse_json
from favchat.data.listing.entries import Entries, Entry, Listing
from favchat.data.listing.video_files import clip_ids, emotion_name, safe
from favchat.io import paths
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

_LOG = logging.getLogger(__name__)
_ROWS_AT_ONCE = 10_000
_DELIMITERS = ",;\t|"
_CORNERS = ("x0", "y0", "x1", "y1")
_NUMBERS = frozenset({"start", "end", *_CORNERS})
_DECIMAL = re.compile(r"[-+]?\d*,\d+")
_LABELS = {**dict.fromkeys(("yes", "true", "1", "1.0"), 1), **dict.fromkeys(("no", "false", "0", "0.0"), 0), "": None}

COLUMNS = frozenset(
    {"video", "id", "start", "end", "identity", "split", "emotion", "box", *_CORNERS}
    | {attribute.name for attribute in (*APPEARANCE, *ACTION, *EMOTION)}
)
"""The columns that are read, names compared without case; others are logged and ignored."""

Row = dict[str, Any]
_Part = tuple[str, float, float | None]


def manifest_clips(source: SourceConfig) -> Listing:
    """The clips of the table ``source.path``, in its order, whether or not their videos exist.

    Raises:
        ConfigError: The file is missing or not such a table, has no column ``video`` or a duplicate column, none of its
            rows can be used, or all videos are missing.
    """
    path = paths.absolute(source.path or "")
    if not paths.is_file(path):
        raise ConfigError(
            f"data.source.path: {path} does not exist; kind=manifest expects a CSV, JSON Lines or Parquet"
        )
    found, folder = Entries(path), paths.parent(path)
    if path.lower().endswith(".parquet") and _add_streamed(path, folder, found):
        return found.listing(fold_case=True)
    rows, errors = _read(path)
    if not rows and not errors:
        raise ConfigError(f"data.source.path: {path} has no row")
    if rows:
        _check_columns(path, {name for row in rows.values() for name in row})
    named_splits = any(row.get("split") is not None for row in rows.values())
    clips: list[tuple[Entry, Clip]] = []
    for place in sorted(rows.keys() | errors.keys()):  # the first row is 1
        entry = Entry(f"row {place}")
        try:
            if place in errors:
                raise ValueError(errors[place])
            clips.append((entry, _clip(entry, rows[place], folder, named_splits)))
        except (ValueError, RecursionError) as error:
            found.reject(entry, error, video=_video(rows.get(place, {}), folder))
    for entry, clip in _with_ids(clips, folder):
        try:
            found.add(entry, clip)
        except ValueError as error:
            found.reject(entry, error, name=clip.id, video=clip.video)
    return found.listing(fold_case=True)


def _add_streamed(path: str, folder: str, found: Entries) -> bool:
    """Add the rows of a Parquet file that names all ids, a batch at a time; without ids all names are needed at once.

    Returns:
        Whether it names them.
    """
    try:
        with paths.local_copy(path) as local:
            file = pq.ParquetFile(local)
            _once(path, file.schema_arrow.names)
            columns = {_name(name): name for name in file.schema_arrow.names}
            ids = file.read([columns["id"]])[columns["id"]] if "id" in columns else None
            if ids is None or not len(ids) or not all(_value(one) is not None for one in _scalars(ids)):
                return False
            _check_columns(path, set(columns))
            splits = file.read([columns["split"]])[columns["split"]] if "split" in columns else pa.chunked_array([[]])
            named_splits = any(_value(one) is not None for one in _scalars(splits))
            place = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    place += 1
                    _add_row(Entry(f"row {place}"), _row(row.items()), folder, named_splits, found)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"data.source.path: {path} is no parquet file: {error}") from error
    return True


def _scalars(column: pa.ChunkedArray) -> Iterator[Any]:
    for chunk in column.chunks:
        yield from chunk.to_pylist()


def _add_row(entry: Entry, row: Row, folder: str, named_splits: bool, found: Entries) -> None:
    clip = None
    try:
        clip = _clip(entry, row, folder, named_splits)
        found.add(entry, clip)
    except (ValueError, RecursionError) as error:
        name, video = (clip.id, clip.video) if clip else ("", _video(row, folder))
        found.reject(entry, error, name=name, video=video)


def _video(row: Row, folder: str) -> str:
    """The video of a row that cannot be used, as far as it is known."""
    video = row.get("video")
    return paths.join(folder, video) if isinstance(video, str) else ""


def _read(path: str) -> tuple[dict[int, Row], dict[int, str]]:
    """The rows by number, with names in lower case, and the errors of malformed rows by number."""
    content = paths.read_bytes(path)
    kind = path.rpartition(".")[2].lower()
    try:
        if kind == "parquet":
            return _parquet(path, content)
        if kind in ("jsonl", "ndjson"):
            return _json_lines(decoded(content, f"data.source.path: {path}"))
        if kind == "csv":
            return _csv(path, decoded(content, f"data.source.path: {path}"))
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise ConfigError(f"data.source.path: {path} is no {kind} file: {error}") from error
    raise ConfigError(f"data.source.path: {path} must end in .csv, .jsonl or .parquet")


def _parquet(path: str, content: bytes) -> tuple[dict[int, Row], dict[int, str]]:
    table = pq.read_table(pa.BufferReader(content))
    _once(path, table.column_names)
    return {place: _row(row.items()) for place, row in enumerate(table.to_pylist(), start=1)}, {}


def _json_lines(text: str) -> tuple[dict[int, Row], dict[int, str]]:
    rows: dict[int, Row] = {}
    errors: dict[int, str] = {}
    # Not splitlines, which also splits at characters that may occur within JSON strings.
    lines = [line for line in text.split("\n") if line.strip()]
    for place, line in enumerate(lines, start=1):
        try:
            rows[place] = _json_row(line)
        except (ValueError, RecursionError) as error:
            errors[place] = str(error)
    return rows, errors


def _json_row(line: str) -> Row:
    try:
        content = parse_json(line)
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not isinstance(content, Object):
        raise ValueError("is no JSON object")
    check_keys(content)
    twice = _twice(content)
    if twice:
        raise ValueError(f"'{twice}' is given twice")
    return _row(content.items())


def _csv(path: str, text: str) -> tuple[dict[int, Row], dict[int, str]]:
    """Rows of a table with the separator found in its header: a comma, unless another one fits better."""
    text = text.lstrip("\r\n")
    line = text.partition("\n")[0].rstrip("\r")
    headers = {character: next(csv.reader([line], delimiter=character), []) for character in _DELIMITERS}
    separator = next((one for one, names in headers.items() if "video" in map(_name, names)), ",")
    _once(path, headers[separator])
    rows: dict[int, Row] = {}
    errors: dict[int, str] = {}
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    for place, values in enumerate(reader, start=1):
        if None in values or (None in values.values() and len(values) > 1):
            errors[place] = "has another number of values than the header"
        row = rows[place] = _row((name, value) for name, value in values.items() if name is not None)
        for name in _NUMBERS & row.keys():
            if separator == ";" and _DECIMAL.fullmatch(str(row[name])):  # a decimal comma
                row[name] = row[name].replace(",", ".")
    return rows, errors


def _row(items: Iterable[tuple[str, Any]]) -> Row:
    return {_name(name): _value(content) for name, content in items}


def _name(name: str) -> str:
    return name.strip().lower()


def _once(path: str, columns: Iterable[str]) -> None:
    twice = _twice(columns)
    if twice:
        raise ConfigError(f"data.source.path: {path} has the column '{twice}' twice; which one counts is not known")


def _twice(columns: Iterable[str]) -> str | None:
    """A name that several columns share, compared without case; unnamed columns are ignored."""
    times = Counter(map(_name, columns))
    return next((name for name, count in times.items() if name and count > 1), None)


def _value(value: Any) -> Any:
    """Empty text and NaN, which Parquet writers use for missing values, become None."""
    if isinstance(value, str):
        return value.strip() or None
    return None if isinstance(value, float) and math.isnan(value) else value


def _check_columns(path: str, names: set[str]) -> None:
    if "video" not in names:
        near = difflib.get_close_matches("video", names, n=1) or sorted(names & {"path", "file", "filename", "clip"})
        hint = f"; is it '{near[0]}'? Call it 'video'" if near else ""
        shown = ", ".join(sorted(names))
        raise ConfigError(f"data.source.path: {path} has no column 'video'; its columns are {shown}{hint}")
    if 0 < len(names.intersection(_CORNERS)) < len(_CORNERS):
        missing = ", ".join(name for name in _CORNERS if name not in names)
        raise ConfigError(
            f"data.source.path: {path}: a box needs the columns {', '.join(_CORNERS)}; missing: {missing}"
        )
    for name in sorted(names - COLUMNS - {""}):
        near = difflib.get_close_matches(name, COLUMNS, n=1)
        _LOG.warning("%s: column '%s' is not used%s", path, name, f"; did you mean '{near[0]}'?" if near else "")


def _clip(entry: Entry, row: Row, folder: str, named_splits: bool) -> Clip:
    video = row.get("video")
    if not isinstance(video, str):
        raise ValueError("video is empty" if video is None else f"video = {video!r} is no text")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"end = {end:g} must come after start = {start or 0.0:g}")
    clip_id = _text(row, "id") or ""
    if clip_id != safe(clip_id):
        raise ValueError(f"id = {clip_id!r} is no file name; letters, digits, '.', '_' and '-' may be used")
    split = _text(row, "split") or ""
    if named_splits and not split:
        raise ValueError("split is empty, and other rows name theirs; name all or leave the column out")
    return Clip(
        id=clip_id,
        video=paths.join(folder, video),
        start=start or 0.0,
        end=end,
        identity=_text(row, "identity"),
        split=split,
        box=_box(row),
        appearance=[_label(entry, row, attribute.name) for attribute in APPEARANCE],
        action=[_label(entry, row, attribute.name) for attribute in ACTION],
        emotion=_emotion(entry, row),
    )


def _with_ids(found: list[tuple[Entry, Clip]], folder: str) -> list[tuple[Entry, Clip]]:
    """The clips with ids: the row's own, else its video's path and seconds."""
    base = folder.rstrip("/") + "/"
    names: dict[_Part, str] = {}
    for _, clip in found:
        names[clip.video, clip.start, clip.end] = _with_seconds(clip, base, "g")
    times = Counter(names.values())
    for _, clip in found:  # make ids unique if times differ only beyond six digits
        if times[names[clip.video, clip.start, clip.end]] > 1:
            names[clip.video, clip.start, clip.end] = _with_seconds(clip, base, "")
    ids = dict(zip(names, clip_ids(list(names.values())), strict=True))
    return [(entry, replace(clip, id=clip.id or ids[clip.video, clip.start, clip.end])) for entry, clip in found]


def _with_seconds(clip: Clip, base: str, form: str) -> str:
    name = clip.video.removeprefix(base).rpartition("://")[2].lstrip("/")
    if clip.start == 0 and clip.end is None:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{clip.start:{form}}-{'' if clip.end is None else f'{clip.end:{form}}'}{dot}{suffix}"


def _text(row: Row, name: str) -> str | None:
    value = row.get(name)
    if isinstance(value, float) and value.is_integer():  # pandas turns integer columns with gaps into floats
        value = int(value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise ValueError(f"{name} = {value!r} is no text")
    return None if value is None else str(value)


def _seconds(row: Row, name: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        seconds = number(value)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise ValueError(f"{name} = {value!r} is no time in seconds from the start of the video")
    return seconds


def _box(row: Row) -> tuple[float, float, float, float] | None:
    value, corners = row.get("box"), [row.get(name) for name in _CORNERS]
    if value is None and all(corner is None for corner in corners):
        return None
    if value is None:
        return checked_box(corners)
    if isinstance(value, str):
        value = re.split(r"[,;\s]+", value.strip("[]() "))
    if not isinstance(value, list | tuple):
        raise ValueError(f"box = {value!r} must be x0,y0,x1,y1")
    return checked_box(value)


def _label(entry: Entry, row: Row, name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    word = str(value).strip().lower()
    if word not in _LABELS:
        entry.lose("labels left out", f"{name} = {value!r}; a label is yes, no, 1, 0, true, false or empty (unknown)")
    return _LABELS.get(word)


def _emotion(entry: Entry, row: Row) -> str | None:
    """From the column ``emotion``, or from the only one of the eight emotion columns with yes; None if all are no."""
    shown = {emotion.name for emotion in EMOTION if _label(entry, row, emotion.name) == 1}
    if row.get("emotion") is not None:
        try:
            shown.add(emotion_name(row["emotion"]))
        except ValueError as error:
            entry.lose("emotions left out", error)
            return None
    if len(shown) > 1:
        entry.lose("emotions left out", f"has several emotions: {', '.join(sorted(shown))}")
        return None
    return shown.pop() if shown else None


SOURCE = manifest_clips
