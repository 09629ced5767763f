"""CelebV-HQ as a source: its clips, cut or still in their videos, with an annotation file in the dataset's format.

The file is a JSON object with ``meta_info`` (``appearance_mapping`` and ``action_mapping``: the names behind the
indices of the label vectors) and ``clips`` (clip id -> entry). An entry holds ``ytb_id`` (taken as the identity) and
``attributes`` with ``appearance``, ``action`` and ``emotion``. Where the folder holds the clip already cut,
``<clip id>.mp4``, that is used whole; where it holds the raw video, ``<ytb_id>.mp4``, the entry's ``duration``
(``start_sec``, ``end_sec``) and ``bbox`` (``top``, ``bottom``, ``left``, ``right`` as shares of height and width) say
which part of it. Beyond the dataset's own format a label may be null (unknown), an entry may name its ``split``, and
``extra`` may hold labels of further attributes by name (``favchat.attributes.EXTRA``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from upath import UPath

from favchat.attributes import ACTION, APPEARANCE, EXTRA, Attribute
from favchat.config import ConfigError, SourceConfig
from favchat.data import addresses
from favchat.data.clips import Clip, EmotionSegment, checked_box
from favchat.data.sources.listing import dataset_folder, emotion_name, raise_faults, some_present

EXPECTED = "<clip id>.mp4 (cut clips) or <ytb_id>.mp4 (raw videos)"


def celebv_hq_clips(source: SourceConfig) -> list[Clip]:
    """Every clip of the annotation file, ordered by id, whether or not its video is there.

    Where one entry names a split, an entry without one is "train"; where none does, no clip has a split yet.

    Raises:
        ConfigError: The folder or the file is missing, an entry is malformed, or no video is there; the message names
            the entries.
    """
    folder = dataset_folder(source, EXPECTED)
    annotations = _read_json(source.annotations)
    orders = {
        kind: _label_order(annotations, kind, attributes, source.annotations)
        for kind, attributes in (("appearance", APPEARANCE), ("action", ACTION))
    }
    files = VideoNames(folder)
    entries = annotations["clips"]
    named = any(isinstance(entry, dict) and "split" in entry for entry in entries.values())
    clips, faults = [], []
    for clip_id, entry in sorted(entries.items()):
        try:
            clips.append(_clip(clip_id, entry, files, orders, "train" if named else ""))
        except ValueError as error:
            faults.append(f"{clip_id}: {error}")
    raise_faults(str(source.annotations), faults)
    return some_present(clips, str(source.annotations))


class VideoNames:
    """The ``.mp4`` files of a folder by stem: the very name, else the only one that differs in case alone."""

    def __init__(self, folder: UPath, files: Iterable[UPath] | None = None) -> None:
        """List the folder, or take the files given."""
        self.folder = folder
        found = sorted(folder.iterdir() if files is None else files)
        self._exact = {path.stem: path for path in found if path.suffix.lower() == ".mp4"}
        self._folded: dict[str, list[UPath]] = {}
        for stem, path in self._exact.items():
            self._folded.setdefault(stem.casefold(), []).append(path)

    def stems(self) -> list[str]:
        """The names of all files without suffix, ordered."""
        return sorted(self._exact)

    def find(self, stem: str) -> UPath | None:
        """The file of a name, None where there is none or it cannot be told which."""
        near = self._folded.get(stem.casefold(), [])
        return self._exact.get(stem) or (near[0] if len(near) == 1 else None)

    def of_clip(self, clip_id: str, video_id: str | None) -> tuple[UPath, bool]:
        """A clip's file, and whether it is the raw video; a clip that is absent is expected as a cut one."""
        cut = self.find(clip_id)
        raw = self.find(video_id) if cut is None and video_id else None
        return cut or raw or self.folder / f"{clip_id}.mp4", raw is not None


def part_of_video(entry: dict[str, Any]) -> tuple[float, float, tuple[float, float, float, float] | None]:
    """Start and end in seconds and the face's box that an entry gives for the raw video.

    Raises:
        ValueError: ``duration`` is missing or empty, or ``bbox`` is no box.
    """
    duration: Any = entry.get("duration")
    bbox = entry.get("bbox")
    try:
        # CelebV-Text writes some of its seconds under the names of frames.
        start, end = (float(duration.get(f"{name}_sec", duration.get(f"{name}_frame"))) for name in ("start", "end"))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"duration = {duration!r} must hold start_sec and end_sec, two times in seconds") from error
    if not 0 <= start < end < math.inf:
        raise ValueError(f"duration = {duration!r} must start at 0 s or later and end after its start")
    if bbox is None:
        return start, end, None
    if not isinstance(bbox, dict) or not {"left", "top", "right", "bottom"} <= bbox.keys():
        raise ValueError(f"bbox = {bbox!r} must hold top, bottom, left and right")
    return start, end, checked_box([bbox[side] for side in ("left", "top", "right", "bottom")])


def _read_json(path: str | None) -> dict[str, Any]:
    if path is None:
        raise ConfigError("data.source.annotations: a celebv_hq source needs its annotation file, celebvhq_info.json")
    file = addresses.path_of(path)
    if not file.is_file():
        raise ConfigError(f"data.source.annotations: {file} does not exist")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
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


def _clip(clip_id: str, entry: Any, files: VideoNames, orders: dict[str, list[int]], default_split: str) -> Clip:
    if not clip_id or "/" in clip_id:
        raise ValueError("a clip id is the name of its file without .mp4, so it holds no '/'")
    attributes = entry.get("attributes") if isinstance(entry, dict) else None
    if not isinstance(attributes, dict):
        raise ValueError("has no object 'attributes'")
    identity, split = entry.get("ytb_id"), entry.get("split", default_split)
    if identity is not None and not isinstance(identity, str):
        raise ValueError(f"ytb_id = {identity!r} is no text")
    if not isinstance(split, str) or ("split" in entry and not split):
        raise ValueError(f"split = {split!r} is no name")
    emotion, segments = _emotion(attributes.get("emotion"))
    video, raw = files.of_clip(clip_id, identity)
    start, end, box = part_of_video(entry) if raw else (0.0, None, None)
    return Clip(
        id=clip_id,
        video=str(video),
        start=start,
        end=end,
        box=box,
        identity=identity,
        split=split,
        appearance=_labels(attributes, "appearance", orders["appearance"]),
        action=_labels(attributes, "action", orders["action"]),
        emotion=emotion,
        emotion_segments=segments,
        extra=_extra(entry.get("extra")),
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


def _extra(values: Any) -> list[int | None]:
    """Labels of attributes beyond CelebV-HQ's, by name; names that nobody here knows are passed over."""
    if values is None:
        return [None] * len(EXTRA)
    if not isinstance(values, dict):
        raise ValueError(f"extra = {values!r} must hold labels by name")
    labels = [values.get(attribute.name) for attribute in EXTRA]
    for attribute, label in zip(EXTRA, labels, strict=True):
        if label is not None and (label not in (0, 1) or isinstance(label, bool)):
            raise ValueError(f"extra.{attribute.name} = {label!r}; a label is 0, 1 or null")
    return labels


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
        return emotion_name(labels), []
    if not isinstance(labels, list):
        raise ValueError("attributes.emotion.labels must be a list of segments where sep_flag is true")
    segments = sorted((_segment(item) for item in labels), key=lambda segment: (segment.start, segment.end))
    names = {segment.emotion for segment in segments}
    return (names.pop() if len(names) == 1 else None), segments


def _segment(item: Any) -> EmotionSegment:
    try:
        segment = EmotionSegment(emotion_name(item["emotion"]), float(item["start_sec"]), float(item["end_sec"]))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the emotion segment {item!r} must hold emotion, start_sec and end_sec (two times in seconds)"
        ) from error
    if not 0 <= segment.start <= segment.end:
        raise ValueError(f"the emotion segment {item!r} must start at 0 s or later and not end before its start")
    return segment
