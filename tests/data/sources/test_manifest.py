"""A manifest: three formats, every column, and faults named by their rows."""

import json
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.attributes import ACTION, APPEARANCE
from favchat.config import ConfigError, SourceConfig
from favchat.data.clips import Clip
from favchat.data.sources.manifest import manifest_clips


def read(path: Path | str) -> list[Clip]:
    return manifest_clips(SourceConfig(kind="manifest", path=str(path)))


def table(folder: Path, text: str, *videos: str) -> Path:
    for video in videos or ("a.mp4",):
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).touch()
    (folder / "clips.csv").write_text(text)
    return folder / "clips.csv"


def label(clip: Clip, name: str) -> int | None:
    names = [attribute.name for attribute in (*APPEARANCE, *ACTION)]
    return [*clip.appearance, *clip.action][names.index(name)]


def test_a_table_with_the_video_alone(tmp_path: Path) -> None:
    (clip,) = read(table(tmp_path, "video\nsub/a b.mp4\n", "sub/a b.mp4"))
    assert clip == Clip(id="sub__a_b", video=str(tmp_path / "sub" / "a b.mp4"))


def test_every_column(tmp_path: Path) -> None:
    text = (
        "Video,id,start,end,identity,split,box,emotion,smile,Bald,talk,male\n"
        'a.mp4,one,1.5,4,Ann,val,"10,20,110,140",Happy,yes,0,,TRUE\n'
    )
    (clip,) = read(table(tmp_path, text))
    assert (clip.id, clip.start, clip.end, clip.identity, clip.split) == ("one", 1.5, 4.0, "Ann", "val")
    assert (clip.box, clip.emotion) == ((10.0, 20.0, 110.0, 140.0), "happy")
    assert [label(clip, name) for name in ("smile", "bald", "talk", "male", "young")] == [1, 0, None, 1, None]
    assert sum(value is not None for value in [*clip.appearance, *clip.action]) == 3


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    table(
        tmp_path, "video,end,x0,y0,x1,y1,smile,identity\na.mp4,2,0.1,0.2,0.5,0.6,no,7\nb.mp4,,,,,,,\n", "a.mp4", "b.mp4"
    )
    row = {"video": "a.mp4", "end": 2, "box": [0.1, 0.2, 0.5, 0.6], "smile": False, "identity": 7}
    (tmp_path / "clips.jsonl").write_text(json.dumps(row) + "\n\n" + json.dumps({"video": "b.mp4", "box": None}) + "\n")
    columns = {
        "video": ["a.mp4", "b.mp4"],
        "end": [2.0, float("nan")],
        "box": [[0.1, 0.2, 0.5, 0.6], None],
        "smile": [0, None],
        "identity": ["7", None],
    }
    pq.write_table(pa.table(columns), tmp_path / "clips.parquet")
    found = read(tmp_path / "clips.csv")
    assert [clip.box for clip in found] == [(0.1, 0.2, 0.5, 0.6), None]
    assert [label(clip, "smile") for clip in found] == [0, None]
    assert read(tmp_path / "clips.jsonl") == read(tmp_path / "clips.parquet") == found


def test_videos_at_other_places(tmp_path: Path, memory: str) -> None:
    with fsspec.open(f"{memory}/far/c.mp4", "wb") as file:
        file.write(b"video")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.mp4").touch()
    text = f"video\n{tmp_path}/elsewhere/b.mp4\n{memory}/far/c.mp4\n"
    assert [clip.video for clip in read(table(tmp_path, text))] == text.split()[1:]
    with fsspec.open(f"{memory}/clips.csv", "w") as file:
        file.write("video\nfar/c.mp4\n")
    (clip,) = read(f"{memory}/clips.csv")
    assert (clip.id, clip.video) == ("far__c", f"{memory}/far/c.mp4")


def test_several_clips_of_one_video_have_their_seconds_in_their_ids(tmp_path: Path) -> None:
    clips = read(table(tmp_path, "video,start,end\na.mp4,,\na.mp4,0,2.5\na.mp4,2.5,\n"))
    assert [clip.id for clip in clips] == ["a", "a-0-2.5", "a-2.5-"]


def test_an_emotion_by_its_own_column(tmp_path: Path) -> None:
    clips = read(table(tmp_path, "video,id,fear,anger\na.mp4,1,1,0\na.mp4,2,0,0\na.mp4,3,,\n"))
    assert [clip.emotion for clip in clips] == ["fear", None, None]
    with pytest.raises(ConfigError, match="row 1: has several emotions: anger, fear"):
        read(table(tmp_path, "video,fear,anger\na.mp4,1,1\n"))


@pytest.mark.parametrize(
    ("header", "values", "said"),
    [
        ("video,smile", "a.mp4,maybe", "smile = 'maybe'; a label is yes, no, 1, 0"),
        ("video,start", "a.mp4,soon", "start = 'soon' is no time in seconds"),
        ("video,start,end", "a.mp4,3,2", "end = 2 must come after start = 3"),
        ("video,id", "a.mp4,../x", "id = '../x' is no file name"),
        ("video,box", 'a.mp4,"1,2,3"', "must be four numbers x0, y0, x1, y1"),
        ("video,box", 'a.mp4,"5,0,1,9"', "must have x0 < x1 and y0 < y1"),
        ("video,x0,y0,x1,y1", "a.mp4,1,2,,4", "must be four numbers"),
        ("video,emotion", "a.mp4,bored", "the emotion 'bored' is none of neutral, anger"),
        ("video,identity", ",Ann", "video is empty"),
        ("video,split", "a.mp4,", "split is empty, and other rows name theirs"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, header: str, values: str, said: str) -> None:
    good = {"split": "val", "x0": "1", "y0": "2", "x1": "3", "y1": "4"}
    first = ",".join({"video": "b.mp4", **good}.get(name, "") for name in header.split(","))
    with pytest.raises(ConfigError) as raised:
        read(table(tmp_path, f"{header}\n{first}\n{values}\n"))
    assert "clips.csv: 1 malformed rows" in str(raised.value)
    assert "row 2: " in str(raised.value) and said in str(raised.value)


def test_all_malformed_rows_are_named(tmp_path: Path) -> None:
    rows = ["a.mp4,yes", *["a.mp4,maybe"] * 30, "b.mp4,no", "a.mp4,perhaps"]
    with pytest.raises(ConfigError, match=r"31 malformed rows(.|\n)*row 21: (.|\n)*and rows 22-31, 33$"):
        read(table(tmp_path, "video,smile\n" + "\n".join(rows)))


def test_rows_that_are_the_same_clip(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="row 3: video, start and end: the same as in row 1"):
        read(table(tmp_path, "video\na.mp4\nb.mp4\na.mp4\n"))
    with pytest.raises(ConfigError, match="row 2: id = 'X': the same as in row 1"):
        read(table(tmp_path, "video,id\na.mp4,x\nb.mp4,X\n"))


def test_absent_videos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(read(table(tmp_path, "video\na.mp4\nb.mp4\n"))) == 2
    assert str(tmp_path / "b.mp4") in caplog.text
    with pytest.raises(ConfigError, match=f"none of the 1 videos .* the first is expected at {tmp_path}/c.mp4"):
        read(table(tmp_path, "video\nc.mp4\n"))


def test_a_column_that_is_not_used_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(table(tmp_path, "video,smiel\na.mp4,1\n"))
    assert "column 'smiel' is not used; did you mean 'smile'?" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("clips.csv", b"file\na.mp4\n", "has no column 'video'; its columns are file"),
        ("clips.csv", b"video\n", "has no row"),
        ("clips.csv", b"video,x0,y0\na.mp4,1,2\n", "a box needs the columns x0, y0, x1, y1; missing: x1, y1"),
        ("clips.csv", b"video,id\na.mp4\n", "row 1: has another number of values than the header"),
        ("clips.csv", b"\xff\xfe\x00", "is no csv file"),
        ("clips.jsonl", b'{"video": "a.mp4"}\n{\n[]\n', "row 2: is no JSON"),
        ("clips.parquet", b"video", "is no parquet file"),
        ("clips.txt", b"video", r"must end in \.csv, \.jsonl or \.parquet"),
    ],
)
def test_no_manifest(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"{name}(.|\n)*{said}"):
        read(tmp_path / name)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data.source.path: .*absent.csv does not exist"):
        read(tmp_path / "absent.csv")
