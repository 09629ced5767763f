"""The sample corpus: its clips open, and its annotation file is a sound CelebV-HQ file about exactly those clips."""

import importlib.util
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import av
import pytest

import favchat
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION

SAMPLE = Path(favchat.__file__).parent / "sample"
MAKE_SAMPLE = Path(__file__).parents[1] / "tools" / "make_sample.py"


@pytest.fixture(scope="module")
def annotations() -> dict[str, Any]:
    return json.loads((SAMPLE / "annotations.json").read_text())


@pytest.fixture(scope="module")
def clips(annotations: dict[str, Any]) -> dict[str, Any]:
    return annotations["clips"]


def duration(clip_id: str) -> float:
    with av.open(SAMPLE / "clips" / f"{clip_id}.mp4") as container:
        stream = container.streams.video[0]
        assert stream.duration is not None and stream.time_base is not None
        return float(stream.duration * stream.time_base)


def has_no_face(clip: dict[str, Any]) -> bool:
    return clip["bbox"] is None


def test_every_clip_has_a_file_and_every_file_a_clip(clips: dict[str, Any]) -> None:
    assert {path.stem for path in (SAMPLE / "clips").iterdir()} == set(clips)
    assert 18 <= len(clips) <= 24


def test_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 4_000_000


def test_clips_are_short_silent_h264(clips: dict[str, Any]) -> None:
    for clip_id in clips:
        with av.open(SAMPLE / "clips" / f"{clip_id}.mp4") as container:
            assert [stream.type for stream in container.streams] == ["video"], clip_id
            context = container.streams.video[0].codec_context
            assert (context.name, context.pix_fmt) == ("h264", "yuv420p"), clip_id
            assert max(context.width, context.height) <= 480, clip_id
            times = [frame.time for frame in container.decode(video=0)]
        assert times[0] == 0, clip_id
        assert times == sorted(set(times)), clip_id
        assert 2 <= duration(clip_id) <= 5, clip_id


def test_durations_say_where_the_cut_list_cut(clips: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("make_sample", MAKE_SAMPLE)
    assert spec is not None and spec.loader is not None
    make_sample = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_sample)
    cuts = {cut.clip_id: {"start_sec": cut.start, "end_sec": cut.end} for cut in make_sample.CUTS}
    assert cuts == {clip_id: clip["duration"] for clip_id, clip in clips.items()}
    for clip_id, cut in cuts.items():
        assert duration(clip_id) == pytest.approx(cut["end_sec"] - cut["start_sec"], abs=0.05), clip_id


def test_names_are_the_datasets(annotations: dict[str, Any]) -> None:
    assert annotations["meta_info"] == {
        "appearance_mapping": [attribute.name for attribute in APPEARANCE],
        "action_mapping": [attribute.name for attribute in ACTION],
    }


def test_labels_are_yes_no_or_unknown(clips: dict[str, Any]) -> None:
    for clip_id, clip in clips.items():
        attributes = clip["attributes"]
        assert (len(attributes["appearance"]), len(attributes["action"])) == (40, 35), clip_id
        labels = attributes["appearance"] + attributes["action"]
        assert all(label is None or type(label) is int and label in (0, 1) for label in labels), clip_id


def test_emotions_are_known_and_segments_lie_in_the_clip(clips: dict[str, Any]) -> None:
    names = {attribute.name for attribute in EMOTION}
    segmented = 0
    for clip_id, clip in clips.items():
        emotion = clip["attributes"]["emotion"]
        if not emotion["sep_flag"]:
            assert emotion["labels"] is None or emotion["labels"] in names, clip_id
            continue
        segmented += 1
        end, previous = 0.0, None
        for segment in emotion["labels"]:
            assert segment["emotion"] in names and segment["emotion"] != previous, clip_id
            assert end <= segment["start_sec"] < segment["end_sec"] <= duration(clip_id) + 0.01, clip_id
            end, previous = segment["end_sec"], segment["emotion"]
    assert segmented >= 2


def test_boxes_lie_in_the_frame(clips: dict[str, Any]) -> None:
    for clip_id, clip in clips.items():
        if box := clip["bbox"]:
            assert 0 <= box["left"] < box["right"] <= 1, clip_id
            assert 0 <= box["top"] < box["bottom"] <= 1, clip_id


def test_exactly_one_clip_without_a_face_and_it_has_no_labels(clips: dict[str, Any]) -> None:
    faceless = [clip for clip in clips.values() if has_no_face(clip)]
    assert len(faceless) == 1
    attributes = faceless[0]["attributes"]
    assert set(attributes["appearance"] + attributes["action"]) == {None}
    assert attributes["emotion"] == {"sep_flag": False, "labels": None}


def test_splits_share_no_identity(clips: dict[str, Any]) -> None:
    splits = defaultdict(set)
    for clip_id, clip in clips.items():
        assert clip_id.rpartition("_")[0] == clip["ytb_id"]
        splits[clip["split"]].add(clip["ytb_id"])
    assert set(splits) == {"train", "val"}
    assert splits["train"].isdisjoint(splits["val"])


def test_one_person_looks_the_same_in_all_clips(clips: dict[str, Any]) -> None:
    seen: dict[tuple[str, int], int] = {}
    for clip_id, clip in clips.items():
        for index, label in enumerate(clip["attributes"]["appearance"]):
            if label is not None:
                assert seen.setdefault((clip["ytb_id"], index), label) == label, (clip_id, APPEARANCE[index].name)
