"""CelebV-Text: which file a clip is, and what its sentences tell and do not tell."""

import json
from pathlib import Path
from typing import Any

import pytest

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip
from favchat.data.sources.celebv_text import celebv_text_clips
from favchat.labels.attributes import ACTION, APPEARANCE

ID = "abcdefghij-_3"
YTB_ID = "abcdefghij-"


def layout(root: Path, texts: dict[str, str], *videos: str) -> SourceConfig:
    for name in videos or (f"celebvtext_6/{ID}.mp4",):
        (root / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "videos" / name).touch()
    for topic, text in texts.items():
        folder, _, stem = topic.partition("/")
        (root / "texts" / folder).mkdir(parents=True, exist_ok=True)
        (root / "texts" / folder / f"{stem or ID}.txt").write_text(text)
    return SourceConfig(kind="celebv_text", path=str(root))


def known(clip: Clip) -> dict[str, int]:
    labels = zip((*APPEARANCE, *ACTION), (*clip.appearance, *clip.action), strict=True)
    return {attribute.name: label for attribute, label in labels if label is not None}


def one(root: Path, **texts: str) -> Clip:
    (clip,) = celebv_text_clips(layout(root, texts)).clips
    return clip


def test_a_clip_is_the_file_of_its_name(tmp_path: Path) -> None:
    clip = one(tmp_path, emotion="The woman is happy all the time.")
    assert (clip.id, clip.identity, clip.emotion) == (ID, YTB_ID, "happy")
    assert clip.video == str(tmp_path / "videos" / "celebvtext_6" / f"{ID}.mp4")
    assert (clip.start, clip.end, clip.split) == (0.0, None, "")
    assert known(clip) == {}


def test_what_sentences_name(tmp_path: Path) -> None:
    looks = "She has wavy hair and rosy cheeks.\nThe woman wears heavy make-up and eyeglasses.\n"
    acts = "She is smiling while she talks.\nShe shakes her head at last.\n"
    assert known(one(tmp_path, face40_details_new=looks, action_dur=acts)) == {
        **{"male": 0, "rosy_cheeks": 1, "wavy_hair": 1, "heavy_makeup": 1, "eyeglasses": 1},
        **{"smile": 1, "talk": 1, "shake_head": 1},
    }


@pytest.mark.parametrize(
    ("sentence", "labels"),
    [
        ("This man has no beard.", {"no_beard": 1}),
        ("He has a beard.", {"male": 1, "no_beard": 0}),
        ("There is no hat.", {}),
        ("The hatter.", {}),
        ("A man and a woman.", {}),
        ("A young man without eyeglasses.", {}),
    ],
)
def test_denials_and_contradictions_tell_nothing(tmp_path: Path, sentence: str, labels: dict[str, int]) -> None:
    assert known(one(tmp_path, face40_details_new=sentence)) == labels


@pytest.mark.parametrize(
    ("text", "emotion"),
    [("He is neutral, then turns sad.", None), ("He looks Angry.", "anger"), ("He is not happy.", None), ("", None)],
)
def test_the_emotion_is_the_only_one_named(tmp_path: Path, text: str, emotion: str | None) -> None:
    assert one(tmp_path, emotion=text).emotion == emotion


def test_text_files_with_a_running_number(tmp_path: Path) -> None:
    (clip,) = celebv_text_clips(layout(tmp_path, {f"emotion/{ID}_0": "She is happy."})).clips
    assert clip.emotion == "happy"
    (clip,) = celebv_text_clips(layout(tmp_path, {f"emotion/{ID}_2": "She is sad."})).clips
    assert clip.emotion is None  # two files, and nothing says which


def with_info(root: Path, entry: dict[str, Any], *videos: str) -> list[Clip]:
    source = layout(root, {"emotion": "She is happy."}, *videos)
    (root / "celebvtext_info.json").write_text(json.dumps({"clips": {ID: entry}}))
    return celebv_text_clips(source.model_copy(update={"annotations": str(root / "celebvtext_info.json")})).clips


ENTRY = {
    "ytb_id": YTB_ID,
    "duration": {"start_sec": 4.5, "end_sec": 9.64},
    "bbox": {"top": 0, "bottom": 937, "left": 849, "right": 1872},
    "version": "v0.1",
}


def test_raw_videos_are_cut_by_the_annotation_file(tmp_path: Path) -> None:
    (clip,) = with_info(tmp_path, ENTRY, f"{YTB_ID}.mp4")
    assert (clip.video, clip.start, clip.end) == (str(tmp_path / "videos" / f"{YTB_ID}.mp4"), 4.5, 9.64)
    assert (clip.box, clip.identity, clip.emotion) == ((849.0, 0.0, 1872.0, 937.0), YTB_ID, "happy")


def test_cut_clips_are_used_whole(tmp_path: Path) -> None:
    (clip,) = with_info(tmp_path, ENTRY, f"{ID}.mp4", f"{YTB_ID}.mp4")
    assert (Path(clip.video).stem, clip.start, clip.end, clip.box) == (ID, 0.0, None, None)


def test_times_under_their_other_name(tmp_path: Path) -> None:
    entry = {**ENTRY, "duration": {"start_frame": 415.29, "end_frame": 420.88}}
    (clip,) = with_info(tmp_path, entry, f"{YTB_ID}.mp4")
    assert (clip.start, clip.end) == (415.29, 420.88)


def test_an_entry_that_cannot_be_used_is_a_reject(tmp_path: Path) -> None:
    source = layout(tmp_path, {"emotion": "\ufeffShe is happy."}, f"{ID}.mp4", "raw.mp4", "x/twice.mp4", "y/twice.mp4")
    bad = {"raw_1": {**ENTRY, "ytb_id": "raw", "duration": {"start_sec": 3, "end_sec": 1e400}}, "n": 3, "twice": ENTRY}
    (tmp_path / "info.json").write_text(json.dumps({"clips": {ID: ENTRY, **bad}}), encoding="utf-8-sig")
    found = celebv_text_clips(source.model_copy(update={"annotations": str(tmp_path / "info.json")}))
    assert [(clip.id, clip.emotion) for clip in found.clips] == [(ID, "happy")]
    assert sorted(one.name for one in found.bad) == ["n", "raw_1", "twice"]
    found = celebv_text_clips(source)  # without the file every video is a clip, and of two of one name none
    assert [clip.id for clip in found.clips] == [ID, "raw"]
    assert "several videos of that name" in found.bad[0].reason


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    source = SourceConfig(kind="celebv_text", path=str(tmp_path))
    with pytest.raises(ConfigError, match="videos is no folder"):
        celebv_text_clips(source)
    (tmp_path / "videos").mkdir()
    with pytest.raises(ConfigError, match="no text files below .*texts; expected folders face40_details_new"):
        celebv_text_clips(source)
    (tmp_path / "texts" / "emotion").mkdir(parents=True)
    (tmp_path / "texts" / "emotion" / "a.txt").touch()
    with pytest.raises(ConfigError, match="no .mp4 below"):
        celebv_text_clips(source)
    with pytest.raises(ConfigError, match="annotations: .*absent.json does not exist"):
        celebv_text_clips(source.model_copy(update={"annotations": "absent.json"}))
    with pytest.raises(ConfigError, match=f"none of the 1 videos .* expected at .*{ID}.mp4"):
        with_info(tmp_path, ENTRY, "other.mp4")
    with pytest.raises(ConfigError, match=f"'{ID}': duration = .* must"):
        with_info(tmp_path, {**ENTRY, "duration": {}}, f"{YTB_ID}.mp4")
