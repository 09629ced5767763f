"""CelebV-HQ as a source: ``VIDEOS/<clip id>.mp4`` with labels from an annotation file in the dataset's format.

The file is a JSON object with ``meta_info`` (``appearance_mapping`` and ``action_mapping``: the names behind the
indices of the label vectors) and ``clips`` (clip id -> entry). An entry holds ``ytb_id`` (taken as the identity) and
``attributes`` with ``appearance``, ``action`` and ``emotion``. The videos are the clips already cut, so the entry's
``duration``, which counts in the video it was cut from, is not used. Beyond the dataset's own format a label may be
null (unknown) and an entry may name its ``split``; without that key it is "train".
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from favchat.attributes import ACTION, APPEARANCE, EMOTION, Attribute
from favchat.config import ConfigError, SourceConfig
from favchat.data.clips import Clip, EmotionSegment

_SHOWN_FAULTS = 5


def celebv_hq_clips(source: SourceConfig) -> list[Clip]:
    """Every clip of the annotation file, ordered by id, whether or not its video is there.

    Raises:
        ConfigError: The folder or the file is missing, or an entry is malformed; the message names the entries.
    """
    folder = Path(os.path.abspath(source.path or ""))
    if not folder.is_dir():
        raise ConfigError(f"data.source.path: {folder} is no folder; the clips are expected there as <clip id>.mp4")
    annotations = _read_json(source.annotations)
    orders = {
        kind: _label_order(annotations, kind, attributes, source.annotations)
        for kind, attributes in (("appearance", APPEARANCE), ("action", ACTION))
    }
    clips, faults = [], []
    for clip_id, entry in sorted(annotations["clips"].items()):
        try:
            clips.append(_clip(clip_id, entry, folder, orders))
        except ValueError as error:
            faults.append(f"  {clip_id}: {error}")
    if faults:
        shown = faults[:_SHOWN_FAULTS]
        if len(faults) > len(shown):
            shown.append(f"  and {len(faults) - len(shown)} more")
        raise ConfigError("\n".join([f"{source.annotations}: {len(faults)} malformed entries in 'clips'", *shown]))
    if not clips:
        raise ConfigError(f"{source.annotations}: 'clips' is empty")
    return clips


def _read_json(path: str | None) -> dict[str, Any]:
    if path is None:
        raise ConfigError("data.source.annotations: a celebv_hq source needs its annotation file, celebvhq_info.json")
    if not Path(path).is_file():
        raise ConfigError(f"data.source.annotations: {os.path.abspath(path)} does not exist")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"data.source.annotations: {path} is no JSON file: {error}") from error
    for key in ("meta_info", "clips"):
        if not isinstance(content, dict) or not isinstance(content.get(key), dict):
            raise ConfigError(f"data.source.annotations: {path} has no object '{key}'; CelebV-HQ's format is expected")
    return content


def _label_order(
    annotations: dict[str, Any], kind: str, attributes: tuple[Attribute, ...], path: str | None
) -> list[int]:
    """For each of our attributes its index in the file's vectors, names compared without case."""
    key = f"{kind}_mapping"
    names = annotations["meta_info"].get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{path}: meta_info.{key} is no list of names")
    index = {name.lower(): position for position, name in enumerate(names)}
    expected = [attribute.name for attribute in attributes]
    missing = [name for name in expected if name not in index]
    unknown = [name for name in names if name.lower() not in expected]
    if missing or unknown or len(index) < len(names):
        raise ConfigError(
            f"{path}: meta_info.{key} must name CelebV-HQ's {len(expected)} attributes once each;"
            f" missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )
    return [index[name] for name in expected]


def _clip(clip_id: str, entry: Any, folder: Path, orders: dict[str, list[int]]) -> Clip:
    if not clip_id or Path(clip_id).name != clip_id:
        raise ValueError("a clip id is the name of its file without .mp4, so it holds no '/'")
    attributes = entry.get("attributes") if isinstance(entry, dict) else None
    if not isinstance(attributes, dict):
        raise ValueError("has no object 'attributes'")
    identity, split = entry.get("ytb_id"), entry.get("split", "train")
    if identity is not None and not isinstance(identity, str):
        raise ValueError(f"ytb_id = {identity!r} is no text")
    if not isinstance(split, str) or not split:
        raise ValueError(f"split = {split!r} is no name")
    emotion, segments = _emotion(attributes.get("emotion"))
    return Clip(
        id=clip_id,
        video=str(folder / f"{clip_id}.mp4"),
        identity=identity,
        split=split,
        appearance=_labels(attributes, "appearance", orders["appearance"]),
        action=_labels(attributes, "action", orders["action"]),
        emotion=emotion,
        emotion_segments=segments,
    )


def _labels(attributes: dict[str, Any], kind: str, order: list[int]) -> list[int | None]:
    values = attributes.get(kind)
    if values is None:
        return [None] * len(order)
    if not isinstance(values, list) or len(values) != len(order):
        found = f"{len(values)} values" if isinstance(values, list) else repr(values)
        raise ValueError(f"attributes.{kind} must be a list of {len(order)} labels, found {found}")
    for position, value in enumerate(values):
        if value is not None and (value not in (0, 1) or isinstance(value, bool)):
            raise ValueError(f"attributes.{kind}[{position}] = {value!r}; a label is 0, 1 or null")
    return [None if values[position] is None else int(values[position]) for position in order]


def _emotion(value: Any) -> tuple[str | None, list[EmotionSegment]]:
    """The emotion of the whole clip and, where the entry tells them apart, its segments."""
    if value is None:
        return None, []
    if not isinstance(value, dict) or "labels" not in value:
        raise ValueError(f"attributes.emotion = {value!r} has no 'labels'")
    labels = value["labels"]
    if labels is None:
        return None, []
    if not value.get("sep_flag"):
        return _emotion_name(labels), []
    if not isinstance(labels, list):
        raise ValueError("attributes.emotion.labels must be a list of segments where sep_flag is true")
    segments = sorted((_segment(item) for item in labels), key=lambda segment: (segment.start, segment.end))
    names = {segment.emotion for segment in segments}
    return (names.pop() if len(names) == 1 else None), segments


def _segment(item: Any) -> EmotionSegment:
    try:
        segment = EmotionSegment(_emotion_name(item["emotion"]), float(item["start_sec"]), float(item["end_sec"]))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the emotion segment {item!r} must hold emotion, start_sec and end_sec (two times in seconds)"
        ) from error
    if not 0 <= segment.start <= segment.end:
        raise ValueError(f"the emotion segment {item!r} must start at 0 s or later and not end before its start")
    return segment


def _emotion_name(value: Any) -> str:
    names = [emotion.name for emotion in EMOTION]
    name = value.lower() if isinstance(value, str) else value
    if name not in names:
        raise ValueError(f"the emotion {value!r} is none of {', '.join(names)}")
    return str(name)
