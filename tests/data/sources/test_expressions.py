"""DFEW, MAFW and FERV39k in the layouts of their archives: which file, which emotion, which split."""

from pathlib import Path

import pytest
from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip
from favchat.data.listing.expression_lists import read_labels
from favchat.data.sources.dfew import dfew_clips
from favchat.data.sources.ferv39k import ferv39k_clips
from favchat.data.sources.mafw import mafw_clips, mafw_lists
from favchat.io import paths

LISTERS = {"dfew": dfew_clips, "mafw": mafw_clips, "ferv39k": ferv39k_clips}


def put(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def clips(kind: str, root: Path, fold: int = 1) -> list[Clip]:
    return LISTERS[kind](SourceConfig.model_validate({"kind": kind, "path": str(root), "fold": fold})).clips


def told(found: list[Clip], root: Path) -> list[tuple[str, str, str, str | None]]:
    return [(clip.id, str(Path(clip.video).relative_to(root)), clip.split, clip.emotion) for clip in found]


DFEW = {
    "EmoLabel_DataSplit/train(single-labeled)/set_1.csv": "video_name,label\n1,1\n02522,6\n",
    "EmoLabel_DataSplit/test(single-labeled)/set_1.csv": "video_name,label\n3,7\n",
    "EmoLabel_DataSplit/train(single-labeled)/set_2.csv": "video_name,label\n3,4\n",
    "EmoLabel_DataSplit/test(single-labeled)/set_2.csv": "video_name,label\n1,2\n",
}
FRAMES = {f"Clip/clip_224x224/{number:05d}/00001_00001.jpg": "" for number in (1, 2522, 3)}


def test_dfew(tmp_path: Path) -> None:
    put(tmp_path, {**DFEW, **FRAMES})
    assert told(clips("dfew", tmp_path), tmp_path) == [
        ("00001", "Clip/clip_224x224/00001", "train", "happy"),
        ("02522", "Clip/clip_224x224/02522", "train", "disgust"),
        ("00003", "Clip/clip_224x224/00003", "test", "fear"),
    ]
    assert [(clip.id, clip.split, clip.emotion) for clip in clips("dfew", tmp_path, fold=2)] == [
        ("00003", "train", "anger"),
        ("00001", "test", "sadness"),
    ]
    with pytest.raises(ConfigError, match=r"no lists in .*EmoLabel_DataSplit/\{split\}\(single-labeled\)/set_3.csv"):
        clips("dfew", tmp_path, fold=3)


def test_dfew_original_videos_in_parts(tmp_path: Path) -> None:
    put(tmp_path, {**DFEW, "Clip/original/part_1/1.mp4": "", "Clip/original/part_2/2522.mp4": ""})
    assert [Path(clip.video).name for clip in clips("dfew", tmp_path)] == ["1.mp4", "2522.mp4", "00003"]


def test_dfew_sixteen_frames_are_the_last_choice(tmp_path: Path) -> None:
    put(tmp_path, {**DFEW, **FRAMES, "Clip/clip_224x224_16f/00001/1.jpg": ""})
    assert "clip_224x224/" in clips("dfew", tmp_path)[0].video


def test_plain_lists_count_from_zero(tmp_path: Path) -> None:
    put(
        tmp_path,
        {**FRAMES, "dfew_org_split01_train.csv": "00001 0\n02522 5\n", "dfew_org_split01_test.csv": "00003 6\n"},
    )
    assert [clip.emotion for clip in clips("dfew", tmp_path)] == ["happy", "disgust", "fear"]


MAFW = "Train & Test Set/single/no_caption/set_1"


def test_mafw_has_emotions_that_we_do_not_know(tmp_path: Path) -> None:
    lines = ["00001.mp4 anger", "00002.mp4 happiness", "00003.mp4 anxiety", "00004.mp4 helplessness"]
    put(tmp_path, {f"{MAFW}/train.txt": "\n".join(lines), f"{MAFW}/test.txt": "00005.mp4 contempt\n"})
    put(tmp_path, {f"data/clips/{number:05d}.mp4": "" for number in range(1, 6)})
    found = told(clips("mafw", tmp_path), tmp_path)
    assert found[1] == ("00002", "data/clips/00002.mp4", "train", "happy")
    assert found[-1] == ("00005", "data/clips/00005.mp4", "test", "contempt")
    assert [emotion for *_, emotion in found] == ["anger", "happy", None, None, "contempt"]


def test_mafw_frames_and_plain_lists(tmp_path: Path) -> None:
    lists = {"mafw_single_split01_train.csv": "00001 3\n00002 8\n", "mafw_single_split01_test.csv": "00003 7\n"}
    put(tmp_path, {**lists, **{f"data/frames/0000{number}/0001.png": "" for number in (1, 2, 3)}})
    assert told(clips("mafw", tmp_path), tmp_path) == [
        ("00001", "data/frames/00001", "train", "happy"),
        ("00002", "data/frames/00002", "train", None),
        ("00003", "data/frames/00003", "test", "contempt"),
    ]


def test_ferv39k(tmp_path: Path) -> None:
    setups = "4_setups/All_scenes"
    put(
        tmp_path,
        {
            f"{setups}/train_All.csv": "Action/Happy/0267 Happy\nWar/Sad/0001 Sad\n",
            f"{setups}/test_All.csv": "Action/Neutral/0001 Neutral\n",
            "2_ClipsforFaceCrop/Action/Happy/0267/00001.jpg": "",
        },
    )
    assert told(clips("ferv39k", tmp_path), tmp_path) == [
        ("Action__Happy__0267", "2_ClipsforFaceCrop/Action/Happy/0267", "train", "happy"),
        ("War__Sad__0001", "2_ClipsforFaceCrop/War/Sad/0001", "train", "sadness"),
        ("Action__Neutral__0001", "2_ClipsforFaceCrop/Action/Neutral/0001", "test", "neutral"),
    ]


def test_absent_clips_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, {**DFEW, "Clip/clip_224x224/00001/00001_00001.jpg": ""})
    assert len(clips("dfew", tmp_path)) == 3
    assert "2 of the videos" in caplog.text and "clip_224x224/02522" in caplog.text
    (tmp_path / "Clip/clip_224x224/00001").rename(tmp_path / "Clip/clip_224x224/00009")
    with pytest.raises(ConfigError, match="none of the 3 videos .* expected at .*Clip/clip_224x224/00001"):
        clips("dfew", tmp_path)


@pytest.mark.parametrize(
    ("kind", "files", "said"),
    [
        ("dfew", {}, "holds no clips; expected one of the folders Clip/jpg_256, Clip/clip_224x224"),
        ("mafw", {}, "holds no clips; expected one of the folders data/clips, data/frames"),
        ("ferv39k", {}, "holds no clips; expected one of the folders 2_ClipsforFaceCrop"),
        ("mafw", {"data/clips/00001.mp4": "", f"{MAFW}/train.txt": ""}, "train.txt is there, but not .*test.txt"),
        (
            "mafw",
            {
                "data/clips/00001.mp4": "",
                f"{MAFW}/train.txt": "00001.mp4 anger\n",
                f"{MAFW}/test.txt": "00001.mp4 anger",
            },
            "none of the 2 entries can be used(.|\n)*test.txt line 1: '00001' is also told of in train.txt line 1",
        ),
        (
            "mafw",
            {"data/clips/00001.mp4": "", f"{MAFW}/train.txt": "00001.mp4 bored\n", f"{MAFW}/test.txt": ""},
            "none of the 1 entries can be used(.|\n)*train.txt line 1: '00001.mp4 bored' is no clip",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said(tmp_path: Path, kind: str, files: dict[str, str], said: str) -> None:
    put(tmp_path, files)
    with pytest.raises(ConfigError, match=said):
        clips(kind, tmp_path)


def test_a_line_that_cannot_be_used_is_a_reject(tmp_path: Path) -> None:
    lines = [
        "00001.mp4 anger",
        "00002.mp4 bored",
        "nothing",
        "../00003.mp4 anger",
        "/etc/x.mp4 sadness",
        "",
        "00004 fear",
    ]
    put(
        tmp_path,
        {f"{MAFW}/train.txt": "\n".join(lines), f"{MAFW}/test.txt": "\ufeff00004 fear\n00005 fear\n00005 fear\n"},
    )
    put(tmp_path, {f"data/clips/{number:05d}.mp4": "" for number in range(1, 6)})
    found = mafw_clips(SourceConfig(kind="mafw", path=str(tmp_path)))
    assert [(clip.id, clip.split) for clip in found.clips] == [("00001", "train"), ("00005", "test")]
    reasons = [one.reason for one in found.bad]
    assert [reason.partition(": ")[0] for reason in reasons] == [
        *[f"train.txt line {number}" for number in (2, 3, 4, 5)],
        *["train.txt line 7", "test.txt line 1", "test.txt line 3"],
    ]
    assert "'00004' is also told of in test.txt line 1" in reasons[4]  # in training and test: no fold to trust
    assert "says the same as test.txt line 2" in reasons[6]
    path = UPath(tmp_path / MAFW / "train.txt")
    assert read_labels(path, mafw_lists(1)[0])[0] == ("00001", "anger")
    path.write_text("00001.mp4 bored\n")
    with pytest.raises(ConfigError, match="train.txt: none of the 1 lines can be used; train.txt line 1: "):
        read_labels(path, mafw_lists(1)[0])


def test_dfew_a_list_without_its_heading_loses_no_line(tmp_path: Path) -> None:
    put(tmp_path, {**DFEW, **FRAMES, "EmoLabel_DataSplit/train(single-labeled)/set_1.csv": "1,1\n2522,6\n02522,6\n"})
    found = dfew_clips(SourceConfig(kind="dfew", path=str(tmp_path)))
    assert [clip.id for clip in found.clips] == ["00001", "02522", "00003"]
    assert [one.name for one in found.bad] == ["02522"]  # the same number, written otherwise


def test_dfew_two_videos_of_one_number(tmp_path: Path) -> None:
    put(tmp_path, {**DFEW, **{f"Clip/original/part_{part}/1.mp4": "" for part in (1, 2)}, "Clip/original/3.mp4": ""})
    found = dfew_clips(SourceConfig(kind="dfew", path=str(tmp_path)))
    assert [clip.id for clip in found.clips] == ["02522", "00003"]
    assert "several clips of that number" in found.bad[0].reason


@pytest.mark.parametrize("kind", LISTERS)
def test_a_missing_folder(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"absent is no folder; kind={kind} expects there"):
        clips(kind, tmp_path / "absent")


def test_a_dataset_at_another_address(memory: str) -> None:
    put(UPath(memory), {**DFEW, **FRAMES})
    found = clips("dfew", UPath(memory))
    assert [(clip.id, clip.split, clip.emotion) for clip in found] == [
        ("00001", "train", "happy"),
        ("02522", "train", "disgust"),
        ("00003", "test", "fear"),
    ]
    assert all(paths.is_remote(clip.video) and paths.is_folder(clip.video) for clip in found)
