"""CelebV-Text as a source (Yu et al., CVPR 2023): videos with generated sentences, from which labels are parsed.

The sentences mention only what annotators saw, so a label is 1 if a sentence names the attribute, 0 if it names its
opposite (a woman is not ``male``), and unknown otherwise.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip
from favchat.data.listing.annotation_files import check_keys, read_json
from favchat.data.listing.entries import Entries, Entry, Listing
from favchat.data.listing.video_files import dataset_folder
from favchat.data.sources.celebv_hq import VideoNames, checked_id, json_entries, part_of_video
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

APPEARANCE_TEXTS = ("face40_details_new", "face40_details")
ACTION_TEXTS = ("action_dur", "action")
EMOTION_TEXTS = ("emotion",)

_YTB_ID = re.compile(r"^(.{11})_\d+(_\d+)?$")
_DENIED = re.compile(r"\b(no|not|without|never|neither|nor|lacks?|isn't|doesn't)\b")

_ACTION_WORDS = {
    "close_eyes": r"clos(e|es|ed|ing) (his|her|their|the|both)? ?eyes",
    "cry": r"(cry|cries|crying|cried)",
    "head_wagging": r"(wag(s|ging|ged)? (his|her|their|the) head|head[ _-]wagging|wag(s|ging)? head)",
    "listen_to_music": r"listen(s|ing|ed)? to (the |some )?music",
    "look_around": r"look(s|ing|ed)? around",
    "make_a_face": r"mak(e|es|ing) (a |funny |some )*faces?",
    "nod": r"nod(s|ding|ded)?",
    "play_instrument": r"play(s|ing|ed)? (an |the |a |musical )*instruments?",
    "shake_head": r"sh(ake|akes|aking|ook) (his|her|their|the)? ?head",
    "sing": r"(sing|sings|singing|sang)",
    "sleep": r"(sleep|sleeps|sleeping|slept)",
    "weep": r"(weep|weeps|weeping|wept)",
}
_APPEARANCE_WORDS = {
    "male": r"(man|men|male|boy|guy|gentleman|he|his)",
    "young": r"(young|youthful)",
    "rosy_cheeks": r"rosy cheeks?",
    "oval_face": r"oval face",
    "receding_hairline": r"receding hairline",
    "bangs": r"(bangs|fringe)",
    "blonde_hair": r"blonde? hair",
    "gray_hair": r"gr[ae]y hair",
    "bags_under_eyes": r"(eye ?bags|bags under (his |her |their |the )?eyes)",
    "eyeglasses": r"(eye)?glasses",
    "no_beard": r"(no beard|beardless|clean[ -]shaven)",
    "5_o_clock_shadow": r"(5|five) ?o'? ?clock shadow",
    "heavy_makeup": r"heavy make-?up",
    "wearing_earrings": r"earrings?",
    "wearing_hat": r"(hat|cap)",
    "wearing_lipstick": r"lipstick",
    "wearing_necklace": r"necklaces?",
    "wearing_necktie": r"(necktie|tie)",
    "wearing_mask": r"mask",
}
_OPPOSITES = {
    "male": r"(woman|women|female|girl|lady|she|her|hers)",
    "no_beard": r"(a|full|thick|short|long) beard",
}
_EMOTION_WORDS = {
    "neutral": r"neutral",
    "anger": r"(anger|angry|angrily)",
    "contempt": r"(contempt|contemptuous|contemptuously)",
    "disgust": r"(disgust|disgusted)",
    "happy": r"(happy|happiness|happily)",
    "fear": r"(fear|fearful|scared|afraid)",
    "sadness": r"(sad|sadness|sadly)",
    "surprise": r"(surprise|surprised)",
}


def celebv_text_clips(source: SourceConfig) -> Listing:
    """The clips of ``source.annotations`` (``celebvtext_info.json``), else every video below ``videos/``; by id.

    A clip is ``<clip id>.mp4`` already cut, or with the annotation file also the part of the raw ``<ytb_id>.mp4``
    that its ``duration`` and ``bbox`` (pixels) select. The identity is the YouTube id.

    Raises:
        ConfigError: A folder or the annotation file is missing, the file has another format, no entry can be used, or
            all videos are missing.
    """
    folder = dataset_folder(source, "videos/ and texts/")
    videos = folder / "videos"
    if not videos.is_dir():
        raise ConfigError(f"data.source.path: {videos} is no folder; the clips are expected below it as <clip id>.mp4")
    texts = Texts(folder / "texts")
    files = VideoNames(videos, videos.rglob("*.mp4"))
    path = source.annotations
    if path is None:
        entries: list[tuple[str, Any]] = [(stem, {}) for stem in files.stems()]
        if not entries:
            raise ConfigError(f"data.source.path: no .mp4 below {videos}")
    else:
        entries = list(json_entries(read_json(path, "data.source.annotations", ("clips",), "CelebV-Text")["clips"]))
    found = Entries(path or str(videos))
    for clip_id, content in entries:
        entry = Entry(f"entry '{clip_id}'")
        try:
            check_keys(content)
            found.add(entry, _clip(clip_id, content, files, texts))
        except (ValueError, RecursionError) as error:
            found.reject(entry, error, name=clip_id)
    return found.listing(absent=path is not None)


class Texts:
    """The sentences of the clips, one text file per clip and topic."""

    def __init__(self, folder: UPath) -> None:
        """List the topics' folders; labels of missing ones are unknown.

        Raises:
            ConfigError: All are missing.
        """
        self._files: dict[str, dict[str, list[UPath]]] = {}
        for topics in (APPEARANCE_TEXTS, ACTION_TEXTS, EMOTION_TEXTS):
            there = [folder / topic for topic in topics if (folder / topic).is_dir()]
            self._files[topics[0]] = _by_clip(there[0]) if there else {}
        if not any(self._files.values()):
            expected = ", ".join((APPEARANCE_TEXTS[0], ACTION_TEXTS[0], EMOTION_TEXTS[0]))
            raise ConfigError(f"data.source.path: no text files below {folder}; expected folders {expected}")

    def sentences(self, topic: str, clip_id: str) -> list[str]:
        """The lines of a clip's file in lower case; empty if it has no file or the file is ambiguous."""
        found = self._files[topic].get(clip_id, [])
        if len(found) != 1:
            return []
        return found[0].read_text(encoding="utf-8-sig", errors="replace").lower().replace("_", " ").splitlines()


def _by_clip(folder: UPath) -> dict[str, list[UPath]]:
    """Clip id -> its files: ``<clip id>.txt``, or ``<clip id>_<n>.txt`` if there is no exact match."""
    exact = {path.stem: [path] for path in sorted(folder.glob("*.txt"))}
    near: dict[str, list[UPath]] = {}
    for stem, (path,) in exact.items():
        near.setdefault(stem.rpartition("_")[0], []).append(path)
    return {**near, **exact}


def _clip(clip_id: str, entry: Any, files: VideoNames, texts: Texts) -> Clip:
    if not isinstance(entry, dict):
        raise ValueError("is no object")
    checked_id(clip_id)
    named = _YTB_ID.match(clip_id)
    identity = entry.get("ytb_id") or (named.group(1) if named else None)
    if identity is not None and not isinstance(identity, str):
        raise ValueError(f"ytb_id = {identity!r} is no text")
    video, raw = files.of_clip(clip_id, identity if "ytb_id" in entry else None)
    start, end, box = part_of_video(entry) if raw else (0.0, None, None)
    emotions = [
        emotion.name
        for emotion in EMOTION
        if _says(texts.sentences(EMOTION_TEXTS[0], clip_id), _EMOTION_WORDS[emotion.name])
    ]
    looks = texts.sentences(APPEARANCE_TEXTS[0], clip_id)
    acts = texts.sentences(ACTION_TEXTS[0], clip_id)
    return Clip(
        id=clip_id,
        video=str(video),
        start=start,
        end=end,
        identity=identity,
        box=box,
        appearance=[
            _label(looks, _APPEARANCE_WORDS.get(a.name, _words(a.name)), _OPPOSITES.get(a.name)) for a in APPEARANCE
        ],
        action=[_label(acts, _ACTION_WORDS.get(a.name, _verb(a.name)), None) for a in ACTION],
        emotion=emotions[0] if len(emotions) == 1 else None,
    )


def _words(name: str) -> str:
    """``black_hair`` -> ``black hair``."""
    return re.escape(name.replace("_", " "))


def _verb(name: str) -> str:
    """``smile`` -> smile, smiles, smiled, smiling; a final e goes before -ed and -ing."""
    stem = name.removesuffix("e")
    return f"({name}|{name}e?s|{stem}ed|{stem}ing)"


def _label(sentences: list[str], words: str, opposite: str | None) -> int | None:
    """1 if a sentence names the attribute, 0 if one names its opposite; unknown if both or neither."""
    yes, no = _says(sentences, words), opposite is not None and _says(sentences, opposite)
    return None if yes == no else int(yes)


def _says(sentences: list[str], words: str) -> bool:
    """Whether a sentence contains the words; a sentence with a negation only counts if the words contain it."""
    pattern = _pattern(words)
    return any(
        pattern.search(line) is not None for line in sentences if words.startswith("(no ") or not _DENIED.search(line)
    )


@cache
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b{words}(?!\w)")


SOURCE = celebv_text_clips
