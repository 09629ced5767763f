"""CelebV-HQ as a source: cut clips or raw videos, with an annotation file in the dataset's format.

The file is a JSON object with ``meta_info`` (``appearance_mapping`` and ``action_mapping``: the names behind the
indices of the label vectors) and ``clips`` (clip id -> entry). An entry holds ``ytb_id`` (taken as the identity) and
``attributes`` with ``appearance``, ``action`` and ``emotion``. If the folder holds the cut clip,
``<clip id>.mp4``, all of it is used; if it holds the raw video, ``<ytb_id>.mp4``, the entry's ``duration``
(``start_sec``, ``end_sec``) and ``bbox`` (``top``, ``bottom``, ``left``, ``right`` as fractions of height and width)
select the part. Beyond the dataset's own format a label may be null (unknown), an entry may name its ``split``, and
``extra`` may hold labels of further attributes by name (``favchat.labels.attributes.EXTRA``).

Invalid values for the video segment, box, identity or split make an entry a reject; an invalid label is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip, EmotionSegment, checked_box
from favchat.data.listing.annotation_files import Object, check_keys, number, read_json
from favchat.data.listing.entries import Entries, Entry, Listing, checked_text
from favchat.data.listing.video_files import dataset_folder, emotion_name
from favchat.labels.attributes import ACTION, APPEARANCE, EXTRA, Attribute

EXPECTED = "<clip id>.mp4 (cut clips) or <ytb_id>.mp4 (raw videos)"
EMOTIONS = "emotions left out"
SEGMENTS = "emotion segments left out"


def celebv_hq_clips(source: SourceConfig) -> Listing:
    """Every clip of the annotation file, ordered by id, whether or not its video exists.

    If any entry names a split, entries without one are "train"; if none does, no clip has a split yet.

    Raises:
        ConfigError: The folder or the file is missing, the file has another format, no entry can be used, or all videos
            are missing.
    """
    folder = dataset_folder(source, EXPECTED)
    path = source.annotations
    if path is None:
        raise ConfigError("data.source.annotations: a celebv_hq source needs its annotation file, celebvhq_info.json")
    annotations = read_json(path, "data.source.annotations", ("meta_info", "clips"), "CelebV-HQ")
    orders = {
        kind: _label_order(annotations["meta_info"], kind, attributes, path)
        for kind, attributes in (("appearance", APPEARANCE), ("action", ACTION))
    }
    files = VideoNames(folder)
    entries = list(json_entries(annotations["clips"]))
    named = any(isinstance(entry, dict) and entry.get("split") is not None for _, entry in entries)
    found = Entries(path)
    for clip_id, content in entries:
        entry = Entry(f"entry '{clip_id}'")
        try:
            check_keys(content)
            found.add(entry, _clip(entry, clip_id, content, files, orders, "train" if named else ""))
        except (ValueError, RecursionError) as error:
            found.reject(entry, error, name=clip_id)
    return found.listing()


def json_entries(clips: Object) -> Iterator[tuple[str, Any]]:
    """Id and content of every entry of an annotation file, ordered by id; duplicates in the file's order."""
    yield from sorted([*clips.earlier, *clips.items()], key=lambda entry: entry[0])


def checked_id(clip_id: str) -> str:
    """Check that an id can be a file name.

    Raises:
        ValueError: It cannot.
    """
    if not clip_id or "/" in clip_id:
        raise ValueError("a clip id is the name of its file without .mp4, so it holds no '/'")
    checked_text(clip_id)
    return clip_id


class VideoNames:
    """The ``.mp4`` files of a folder by stem: exact match first, else the only one that differs just in case."""

    def __init__(self, folder: UPath, files: Iterable[UPath] | None = None) -> None:
        """List the folder, or take the files given."""
        self.folder = folder
        found = sorted(folder.iterdir() if files is None else files)
        self._exact: defaultdict[str, list[UPath]] = defaultdict(list)
        self._folded: defaultdict[str, list[UPath]] = defaultdict(list)
        for path in found:
            if path.suffix.lower() == ".mp4":
                self._exact[path.stem].append(path)
                self._folded[path.stem.casefold()].append(path)

    def stems(self) -> list[str]:
        """The names of all files without suffix, ordered."""
        return sorted(self._exact)

    def find(self, stem: str) -> UPath | None:
        """The file with a stem, None if there is none or it is ambiguous.

        Raises:
            ValueError: Several files have exactly that stem.
        """
        same, near = self._exact.get(stem, []), self._folded.get(stem.casefold(), [])
        if len(same) > 1:
            raise ValueError(f"there are several videos of that name: {', '.join(map(str, same))}")
        return next(iter(same), None) or (near[0] if len(near) == 1 else None)

    def of_clip(self, clip_id: str, video_id: str | None) -> tuple[UPath, bool]:
        """A clip's file, and whether it is the raw video; for a missing clip the path of the cut one.

        Raises:
            ValueError: Several files have its name.
        """
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
        # CelebV-Text stores seconds under the keys for frames in some entries.
        start, end = (number(duration.get(f"{name}_sec", duration.get(f"{name}_frame"))) for name in ("start", "end"))
    except (AttributeError, ValueError) as error:
        raise ValueError(f"duration = {duration!r} must hold start_sec and end_sec, two times in seconds") from error
    if not 0 <= start < end:
        raise ValueError(f"duration = {duration!r} must start at 0 s or later and end after its start")
    if bbox is None:
        return start, end, None
    if not isinstance(bbox, dict) or not {"left", "top", "right", "bottom"} <= bbox.keys():
        raise ValueError(f"bbox = {bbox!r} must hold top, bottom, left and right")
    return start, end, checked_box([bbox[side] for side in ("left", "top", "right", "bottom")])


def _label_order(meta: Object, kind: str, attributes: tuple[Attribute, ...], path: str) -> list[int]:
    """The index of each of our attributes in the file's vectors, names compared without case."""
    key = f"{kind}_mapping"
    try:
        check_keys(meta)
    except ValueError as error:
        raise ConfigError(f"{path}: meta_info: {error}") from error
    names = meta.get(key)
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


def _clip(
    entry: Entry, clip_id: str, content: Any, files: VideoNames, orders: dict[str, list[int]], default_split: str
) -> Clip:
    checked_id(clip_id)
    attributes = content.get("attributes") if isinstance(content, dict) else None
    if not isinstance(attributes, dict):
        raise ValueError("has no object 'attributes'")
    identity, split = content.get("ytb_id"), content.get("split")
    if identity is not None and not isinstance(identity, str):
        raise ValueError(f"ytb_id = {identity!r} is no text")
    if split is not None and (not isinstance(split, str) or not split):
        raise ValueError(f"split = {split!r} is no name")
    emotion, segments = _emotion(entry, attributes.get("emotion"))
    video, raw = files.of_clip(clip_id, identity)
    start, end, box = part_of_video(content) if raw else (0.0, None, None)
    return Clip(
        id=clip_id,
        video=str(video),
        start=start,
        end=end,
        box=box,
        identity=identity,
        split=split or default_split,
        appearance=_labels(entry, attributes, "appearance", orders["appearance"]),
        action=_labels(entry, attributes, "action", orders["action"]),
        emotion=emotion,
        emotion_segments=segments,
        extra=_extra(entry, content.get("extra")),
    )


def _labels(entry: Entry, attributes: dict[str, Any], kind: str, order: list[int]) -> list[int | None]:
    values = attributes.get(kind)
    if values is None:
        return [None] * len(order)
    if not isinstance(values, list) or len(values) != len(order):
        found = f"{len(values)} values" if isinstance(values, list) else repr(values)
        entry.lose(f"lists of {kind} labels left out", f"a list of {len(order)} labels is expected, found {found}")
        return [None] * len(order)
    labels: list[int | None] = []
    for position in order:
        value = values[position]
        known = not isinstance(value, bool) and value in (0, 1)
        if value is not None and not known:
            entry.lose("labels left out", f"attributes.{kind}[{position}] = {value!r}; a label is 0, 1 or null")
        labels.append(int(value) if known else None)
    return labels


def _extra(entry: Entry, values: Any) -> list[int | None]:
    """Labels of attributes beyond CelebV-HQ's, by name; unknown names are ignored."""
    if values is None:
        return [None] * len(EXTRA)
    if not isinstance(values, dict):
        entry.lose("lists of extra labels left out", f"labels by name are expected, found {values!r}")
        return [None] * len(EXTRA)
    labels: list[int | None] = []
    for attribute in EXTRA:
        value: Any = values.get(attribute.name)
        known = not isinstance(value, bool) and value in (0, 1)
        if value is not None and not known:
            entry.lose("labels left out", f"extra.{attribute.name} = {value!r}; a label is 0, 1 or null")
        labels.append(int(value) if known else None)
    return labels


def _emotion(entry: Entry, value: Any) -> tuple[str | None, list[EmotionSegment]]:
    """The emotion of the whole clip and, if the entry has several, its segments."""
    if value is None:
        return None, []
    if not isinstance(value, dict) or "labels" not in value:
        entry.lose(EMOTIONS, f"attributes.emotion = {value!r} has no 'labels'")
        return None, []
    labels = value["labels"]
    if labels is None:
        return None, []
    if not value.get("sep_flag"):
        try:
            return emotion_name(labels), []
        except ValueError as error:
            entry.lose(EMOTIONS, error)
            return None, []
    if not isinstance(labels, list):
        entry.lose(EMOTIONS, "attributes.emotion.labels must be a list of segments where sep_flag is true")
        return None, []
    segments = []
    for item in labels:
        try:
            segments.append(_segment(item))
        except ValueError as error:
            entry.lose(SEGMENTS, error)
    segments.sort(key=lambda segment: (segment.start, segment.end))
    names = {segment.emotion for segment in segments}
    # A dropped segment may have had another emotion.
    single_emotion = len(segments) == len(labels) and len(names) == 1
    return (names.pop() if single_emotion else None), segments


def _segment(item: Any) -> EmotionSegment:
    try:
        start, end, emotion = number(item["start_sec"]), number(item["end_sec"]), item["emotion"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the emotion segment {item!r} must hold emotion, start_sec and end_sec (two times in seconds)"
        ) from error
    if not 0 <= start <= end:
        raise ValueError(f"the emotion segment {item!r} must start at 0 s or later and not end before its start")
    return EmotionSegment(emotion_name(emotion), start, end)


SOURCE = celebv_hq_clips
