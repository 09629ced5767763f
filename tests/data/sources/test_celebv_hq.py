"""CelebV-HQ's annotation file: three-valued labels, names in any case and order, entries that are wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.data.listing.entries import Listing
from favchat.data.sources.celebv_hq import celebv_hq_clips
from favchat.io import paths
from favchat.labels.attributes import ACTION, APPEARANCE


def entry(**attributes: Any) -> dict[str, Any]:
    return {
        "ytb_id": "someone",
        "duration": {"start_sec": 81.0, "end_sec": 84.0},
        "bbox": {"top": 0.1, "bottom": 0.9, "left": 0.1, "right": 0.9},
        "attributes": {
            "appearance": [None] * 40,
            "action": [None] * 35,
            "emotion": {"sep_flag": False, "labels": "neutral"},
            **attributes,
        },
        "version": "v0.1",
    }


def write(folder: Path, clips: dict[str, Any], **meta: list[str]) -> SourceConfig:
    mappings = {
        "appearance_mapping": [a.name for a in APPEARANCE],
        "action_mapping": [a.name for a in ACTION],
        **meta,
    }
    file = folder / "info.json"
    file.write_text(json.dumps({"meta_info": mappings, "clips": clips}))
    for clip_id in clips:
        if "/" not in clip_id:
            (folder / f"{clip_id}.mp4").touch()
    return SourceConfig(kind="celebv_hq", path=str(folder), annotations=str(file))


def read_one(folder: Path, clip: dict[str, Any], **meta: list[str]) -> Clip:
    (found,) = celebv_hq_clips(write(folder, {"abc_0": clip}, **meta)).clips
    return found


def test_a_clip_is_the_whole_file_of_its_id(tmp_path: Path) -> None:
    clip = read_one(tmp_path, entry())
    assert (clip.id, clip.video) == ("abc_0", str(tmp_path / "abc_0.mp4"))
    assert (clip.start, clip.end) == (0.0, None)
    assert (clip.identity, clip.split, clip.box) == ("someone", "", None)


def test_splits_are_all_named_or_none(tmp_path: Path) -> None:
    assert read_one(tmp_path, {**entry(), "split": "val"}).split == "val"
    clips = celebv_hq_clips(write(tmp_path, {"a": {**entry(), "split": "val"}, "b": entry()})).clips
    assert [clip.split for clip in clips] == ["val", "train"]


def raw(folder: Path, clips: dict[str, Any], *videos: str) -> list[Clip]:
    source = write(folder, clips)
    for file in folder.glob("*.mp4"):
        file.unlink()
    for video in videos:
        (folder / video).touch()
    return celebv_hq_clips(source).clips


def test_raw_videos_are_cut_by_duration_and_box(tmp_path: Path) -> None:
    one, two = raw(tmp_path, {"abc_0": entry(), "abc_1": entry()}, "someone.mp4", "abc_1.mp4")
    assert (one.video, one.start, one.end) == (str(tmp_path / "someone.mp4"), 81.0, 84.0)
    assert one.box == (0.1, 0.1, 0.9, 0.9)
    assert (two.video, two.start, two.end, two.box) == (str(tmp_path / "abc_1.mp4"), 0.0, None, None)


def test_video_names_are_matched_without_case_where_that_is_no_guess(tmp_path: Path) -> None:
    assert raw(tmp_path, {"abc_0": entry()}, "ABC_0.MP4")[0].video == str(tmp_path / "ABC_0.MP4")
    with pytest.raises(ConfigError, match="none of the 1 videos"):
        raw(tmp_path, {"abc_0": entry()}, "ABC_0.mp4", "Abc_0.mp4")


def test_an_absent_video_is_still_a_clip_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = raw(tmp_path, {"a": entry(), "b": entry()}, "a.mp4")
    assert [clip.video for clip in clips] == [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    assert "1 of the videos" in caplog.text and str(tmp_path / "b.mp4") in caplog.text
    with pytest.raises(ConfigError, match=f"expected at {tmp_path / 'a.mp4'}"):
        raw(tmp_path, {"a": entry(), "b": entry()})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"duration": {"start_sec": 3, "end_sec": 3}},
            "'abc_0': duration = .* must start at 0 s or later and end after",
        ),
        ({"duration": None}, "'abc_0': duration = None must hold start_sec and end_sec"),
        ({"bbox": {"top": 0}}, "'abc_0': bbox = .* must hold top, bottom, left and right"),
        (
            {"bbox": {"top": 1, "bottom": 0, "left": 0, "right": 1}},
            "'abc_0': the box .* must have x0 < x1 and y0",
        ),
    ],
)
def test_a_raw_video_needs_its_part(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        raw(tmp_path, {"abc_0": {**entry(), **change}}, "someone.mp4")


def test_labels_stay_three_valued(tmp_path: Path) -> None:
    appearance: list[int | None] = [None] * 40
    appearance[1], appearance[2] = 1, 0
    clip = read_one(tmp_path, entry(appearance=appearance))
    assert clip.appearance[:4] == [None, 1, 0, None]
    assert set(clip.action) == {None}


def test_names_are_matched_without_case_and_in_any_order(tmp_path: Path) -> None:
    names = [a.name.upper() for a in reversed(APPEARANCE)]
    clip = read_one(tmp_path, entry(appearance=[1] + [0] * 39), appearance_mapping=names)
    assert clip.appearance == [0] * 39 + [1]


def test_emotion_segments(tmp_path: Path) -> None:
    labels = [
        {"emotion": "Happy", "start_sec": 1.2, "end_sec": 3.0},
        {"emotion": "neutral", "start_sec": 0, "end_sec": 1.2},
    ]
    clip = read_one(tmp_path, entry(emotion={"sep_flag": True, "labels": labels}))
    assert clip.emotion is None
    assert clip.emotion_segments == [EmotionSegment("neutral", 0.0, 1.2), EmotionSegment("happy", 1.2, 3.0)]
    clip = read_one(tmp_path, entry(emotion={"sep_flag": True, "labels": labels[:1]}))
    assert clip.emotion == "happy"


@pytest.mark.parametrize("emotion", [None, {"sep_flag": False, "labels": None}])
def test_an_unknown_emotion(tmp_path: Path, emotion: Any) -> None:
    clip = read_one(tmp_path, entry(emotion=emotion))
    assert (clip.emotion, clip.emotion_segments) == (None, [])


def listed(folder: Path, **clips: Any) -> Listing:
    return celebv_hq_clips(write(folder, clips))


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ({}, "has no object 'attributes'"),
        ("text", "has no object 'attributes'"),
        ({**entry(), "split": 3}, "split = 3 is no name"),
        ({**entry(), "ytb_id": 3}, "ytb_id = 3 is no text"),
        ({**entry(), "ytb_id": "a\0b"}, "is no UTF-8 text"),
        ({**entry(), "split": "\ud800"}, "is no UTF-8 text"),
    ],
)
def test_an_entry_that_cannot_be_used_is_a_reject(tmp_path: Path, clip: Any, said: str) -> None:
    found = listed(tmp_path, abc_0=clip, abc_1=entry())
    assert [one.id for one in found.clips] == ["abc_1"]
    (bad,) = found.bad
    assert bad.name == "abc_0" and said in bad.reason
    with pytest.raises(ConfigError, match=f"info.json: none of the 1 entries can be used(.|\n)*'abc_0': .*{said}"):
        listed(tmp_path, abc_0=clip)


@pytest.mark.parametrize(
    ("attributes", "what", "said"),
    [
        ({"appearance": [0] * 39}, "lists of appearance labels left out", "a list of 40 labels is expected, found 39"),
        ({"action": [1] * 34 + [2]}, "labels left out", r"attributes.action\[34\] = 2; a label is 0, 1 or null"),
        ({"action": [1] * 34 + [True]}, "labels left out", r"attributes.action\[34\] = True"),
        ({"emotion": {"sep_flag": False, "labels": "bored"}}, "emotions left out", "'bored' is none of neutral, anger"),
        ({"emotion": "happy"}, "emotions left out", "attributes.emotion = 'happy' has no 'labels'"),
        ({"emotion": {"sep_flag": True, "labels": "happy"}}, "emotions left out", "must be a list of segments"),
    ],
)
def test_a_label_that_cannot_be_read_is_unknown_and_counted(
    tmp_path: Path, attributes: dict[str, Any], what: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = listed(tmp_path, abc_0=entry(**attributes))
    assert (found.bad, found.notes) == ([], {what: 1})
    (clip,) = found.clips
    assert clip.appearance == [None] * 40 and clip.emotion in (None, "neutral")
    assert clip.action in ([None] * 35, [1] * 34 + [None])
    assert re.search(f"{what}: 1; the first in entry 'abc_0': .*{said}", caplog.text)


@pytest.mark.parametrize(
    "bad",
    [
        {"emotion": "happy", "start_sec": 1.28, "end_sec": -3.2},
        {"emotion": "happy", "start_sec": -1, "end_sec": 3},
        {"emotion": "happy", "start_sec": 2, "end_sec": 1},
        {"emotion": "happy", "start_sec": 1},
        {"emotion": "bored", "start_sec": 1, "end_sec": 2},
        {"emotion": "happy", "start_sec": 0, "end_sec": float("nan")},
        "happy",
    ],
)
def test_an_emotion_segment_that_cannot_be_is_left_out_and_counted(tmp_path: Path, bad: Any) -> None:
    good = {"emotion": "neutral", "start_sec": 0, "end_sec": 1.28}
    found = listed(tmp_path, abc_0=entry(emotion={"sep_flag": True, "labels": [good, bad]}), abc_1=entry())
    assert [clip.id for clip in found.clips] == ["abc_0", "abc_1"]
    assert found.clips[0].emotion_segments == [EmotionSegment("neutral", 0.0, 1.28)]
    assert found.clips[0].emotion is None  # the one that is lost may have been another
    assert (found.bad, found.notes) == ([], {"emotion segments left out": 1})


def test_a_clip_id_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    found = celebv_hq_clips(write(tmp_path, {"../secret": entry(), "a": entry()}))
    assert [clip.id for clip in found.clips] == ["a"]
    assert "'../secret': a clip id is the name of its file" in found.bad[0].reason


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-0.1, 1.2, -0.05, 0.9), (0.0, 0.0, 0.9, 1.0)),  # a hair over the edge, as the published file has
        ((0.1, 1.0001, 0.2, 0.7), (0.2, 0.1, 0.7, 1.0)),
        ((10, 200, 20, 100.5), (20.0, 10.0, 100.5, 200.0)),
    ],
)
def test_a_box_over_the_edge_is_cut_off_there(
    tmp_path: Path, box: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    sides = dict(zip(("top", "bottom", "left", "right"), box, strict=True))
    assert raw(tmp_path, {"abc_0": {**entry(), "bbox": sides}}, "someone.mp4")[0].box == expected


def test_an_empty_identity_is_nobodys(tmp_path: Path) -> None:
    found = listed(tmp_path, abc_0={**entry(), "ytb_id": ""}, abc_1=entry())
    assert [one.identity for one in found.clips] == [None, "someone"]


@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_read(tmp_path: Path, mark: str) -> None:
    source = write(tmp_path, {"abc_0": entry()})
    text = (tmp_path / "info.json").read_text()
    (tmp_path / "info.json").write_text(text, encoding=mark)
    assert celebv_hq_clips(source).clips[0].id == "abc_0"


def twice(folder: Path, first: Any, second: Any) -> Listing:
    source = write(folder, {"a": first, "b": second, "c": entry()})
    text = (folder / "info.json").read_text()
    (folder / "info.json").write_text(text.replace('"b": {"ytb_id"', '"a": {"ytb_id"'))
    return celebv_hq_clips(source)


def test_an_entry_that_is_there_twice(tmp_path: Path) -> None:
    found = twice(tmp_path, entry(), entry())
    assert [clip.id for clip in found.clips] == ["a", "c"]
    assert [(bad.name, "says the same as" in bad.reason) for bad in found.bad] == [("a", True)]
    found = twice(tmp_path, entry(), entry(emotion={"labels": "happy"}))
    assert [clip.id for clip in found.clips] == ["c"]
    assert [(bad.name, "which is right is not known" in bad.reason) for bad in found.bad] == [("a", True)] * 2


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    source = write(tmp_path, {"a": entry(), "b": entry()})
    text = (tmp_path / "info.json").read_text()
    (tmp_path / "info.json").write_text(text.replace('"version": "v0.1"', '"ytb_id": "other"', 1))
    found = celebv_hq_clips(source)
    assert [clip.id for clip in found.clips] == ["b"]
    assert "'ytb_id' is given twice, as 'someone' and as 'other'" in found.bad[0].reason
    (tmp_path / "info.json").write_text(text[:-1] + ', "clips": {}}')
    with pytest.raises(ConfigError, match="info.json: 'clips' is given twice, and which one counts is not known"):
        celebv_hq_clips(source)


def test_people_in_two_splits_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = ({**entry(), "split": split} for split in ("val", "train"))
    found = listed(tmp_path, a=one, b=other, c={**entry(), "ytb_id": "x"})
    assert len(found.clips) == 3
    assert found.notes == {"identities in more than one split": 1}
    assert "someone: train, val" in caplog.text


def test_two_videos_of_one_name_are_named(tmp_path: Path) -> None:
    source = write(tmp_path, {"a": entry(), "b": entry()})
    (tmp_path / "a.MP4").touch()
    found = celebv_hq_clips(source)
    assert [clip.id for clip in found.clips] == ["b"]
    assert "several videos of that name" in found.bad[0].reason


def test_a_missing_name_in_meta_info_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="meta_info.action_mapping .* missing: yawn; unknown: yodel"):
        read_one(tmp_path, entry(), action_mapping=[*[a.name for a in ACTION[:-1]], "yodel"])


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    source = write(tmp_path, {"abc_0": entry()})
    with pytest.raises(ConfigError, match="data.source.path: .*/absent is no folder"):
        celebv_hq_clips(source.model_copy(update={"path": str(tmp_path / "absent")}))
    with pytest.raises(ConfigError, match="data.source.annotations: .*/absent.json does not exist"):
        celebv_hq_clips(source.model_copy(update={"annotations": str(tmp_path / "absent.json")}))
    (tmp_path / "info.json").write_text("{")
    with pytest.raises(ConfigError, match="info.json is no JSON file"):
        celebv_hq_clips(source)
    (tmp_path / "info.json").write_text("[]")
    with pytest.raises(ConfigError, match="has no object 'meta_info'"):
        celebv_hq_clips(source)


def test_videos_and_annotations_at_another_address(memory: str) -> None:
    clip = read_one(UPath(memory), entry())
    assert (clip.id, clip.identity, clip.emotion) == ("abc_0", "someone", "neutral")
    assert paths.is_remote(clip.video) and paths.is_file(clip.video)
