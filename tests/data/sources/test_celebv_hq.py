"""CelebV-HQ's annotation file: three-valued labels, names in any case and order, faults named precisely."""

import json
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from favchat.attributes import ACTION, APPEARANCE
from favchat.config import ConfigError, SourceConfig
from favchat.data import addresses
from favchat.data.clips import Clip, EmotionSegment
from favchat.data.sources.celebv_hq import celebv_hq_clips


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
    (found,) = celebv_hq_clips(write(folder, {"abc_0": clip}, **meta))
    return found


def test_a_clip_is_the_whole_file_of_its_id(tmp_path: Path) -> None:
    clip = read_one(tmp_path, entry())
    assert (clip.id, clip.video) == ("abc_0", str(tmp_path / "abc_0.mp4"))
    assert (clip.start, clip.end) == (0.0, None)
    assert (clip.identity, clip.split, clip.box) == ("someone", "", None)


def test_splits_are_all_named_or_none(tmp_path: Path) -> None:
    assert read_one(tmp_path, {**entry(), "split": "val"}).split == "val"
    clips = celebv_hq_clips(write(tmp_path, {"a": {**entry(), "split": "val"}, "b": entry()}))
    assert [clip.split for clip in clips] == ["val", "train"]


def raw(folder: Path, clips: dict[str, Any], *videos: str) -> list[Clip]:
    source = write(folder, clips)
    for file in folder.glob("*.mp4"):
        file.unlink()
    for video in videos:
        (folder / video).touch()
    return celebv_hq_clips(source)


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
        ({"duration": {"start_sec": 3, "end_sec": 3}}, "abc_0: duration = .* must start at 0 s or later and end after"),
        ({"duration": None}, "abc_0: duration = None must hold start_sec and end_sec"),
        ({"bbox": {"top": 0}}, "abc_0: bbox = .* must hold top, bottom, left and right"),
        ({"bbox": {"top": 1, "bottom": 0, "left": 0, "right": 1}}, "abc_0: the box .* must have x0 < x1 and y0 < y1"),
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


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ({}, "abc_0: has no object 'attributes'"),
        (entry(appearance=[0] * 39), "abc_0: attributes.appearance must be a list of 40 labels, found 39 values"),
        (entry(action=[0] * 34 + [2]), r"abc_0: attributes.action\[34\] = 2; a label is 0, 1 or null"),
        (entry(emotion={"sep_flag": False, "labels": "bored"}), "abc_0: the emotion 'bored' is none of neutral, anger"),
        (entry(emotion={"sep_flag": True, "labels": [{"emotion": "happy"}]}), "abc_0: the emotion segment"),
        ({**entry(), "split": 3}, "abc_0: split = 3 is no name"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path: Path, clip: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        read_one(tmp_path, clip)
    assert "info.json: 1 malformed" in str(raised.value)


def test_a_clip_id_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="../secret: a clip id is the name of its file"):
        celebv_hq_clips(write(tmp_path, {"../secret": entry()}))


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
    assert addresses.is_remote(clip.video) and addresses.is_file(clip.video)
