"""A manifest: three formats, every column, and faults named by their rows."""

import json
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from favchat.config import ConfigError, SourceConfig
from favchat.data.corpus.clip import Clip
from favchat.data.listing.entries import Listing
from favchat.data.sources import manifest
from favchat.data.sources.manifest import manifest_clips
from favchat.labels.attributes import ACTION, APPEARANCE


def listed(path: Path | str) -> Listing:
    return manifest_clips(SourceConfig(kind="manifest", path=str(path)))


def read(path: Path | str) -> list[Clip]:
    found = listed(path)
    assert found.bad == [] and not found.notes
    return found.clips


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
    found = listed(table(tmp_path, "video,fear,anger\na.mp4,1,1\n"))
    assert (found.clips[0].emotion, found.notes) == (None, {"emotions left out": 1})


@pytest.mark.parametrize(
    ("header", "values", "said"),
    [
        ("video,start", "a.mp4,soon", "start = 'soon' is no time in seconds"),
        ("video,start", "a.mp4,1e999", "start = '1e999' is no time in seconds"),
        ("video,start,end", "a.mp4,3,2", "end = 2 must come after start = 3"),
        ("video,id", "a.mp4,../x", "id = '../x' is no file name"),
        ("video,box", 'a.mp4,"1,2,3"', "must be four numbers x0, y0, x1, y1"),
        ("video,box", 'a.mp4,"5,0,1,9"', "must have x0 < x1 and y0 < y1"),
        ("video,box", 'a.mp4,"0.1,0.1,0.9,55"', "too small for pixels, and too large for shares"),
        ("video,box", 'a.mp4,"1.1,0.1,1.3,0.9"', "lies outside of the picture"),
        ("video,x0,y0,x1,y1", "a.mp4,1,2,,4", "must be four numbers"),
        ("video,identity", ",Ann", "video is empty"),
        ("video,split", "a.mp4,", "split is empty, and other rows name theirs"),
        ("video,id", "a.mp4", "has another number of values than the header"),
        ("video,id", "a.mp4,x,y", "has another number of values than the header"),
    ],
)
def test_a_row_that_cannot_be_used_is_a_reject(tmp_path: Path, header: str, values: str, said: str) -> None:
    good = {"split": "val", "x0": "1", "y0": "2", "x1": "3", "y1": "4"}
    first = ",".join({"video": "b.mp4", **good}.get(name, "") for name in header.split(","))
    found = listed(table(tmp_path, f"{header}\n{first}\n{values}\n", "b.mp4"))
    assert [clip.id for clip in found.clips] == ["b"]
    (bad,) = found.bad
    assert bad.name == "row 2" and said in bad.reason
    assert bad.video == (str(tmp_path / "a.mp4") if "a.mp4" in values else "")


@pytest.mark.parametrize(
    ("header", "value", "what"),
    [
        ("smile", "maybe", "labels left out"),
        ("smile", "-1", "labels left out"),
        ("emotion", "bored", "emotions left out"),
    ],
)
def test_a_label_that_cannot_be_read_is_unknown_and_counted(
    tmp_path: Path, header: str, value: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = listed(table(tmp_path, f"video,{header}\na.mp4,{value}\n"))
    assert (found.bad, found.notes) == ([], {what: 1})
    assert label(found.clips[0], "smile") is None and found.clips[0].emotion is None
    assert f"{what}: 1; the first in row 1: " in caplog.text


def test_without_a_row_that_can_be_used_the_first_reasons_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none of the 31 entries can be used\n  row 1: (.|\n)*row 5: .*\n  and 26 m"):
        read(table(tmp_path, "video,start\n" + "a.mp4,soon\n" * 31))


def test_rows_that_speak_of_one_clip(tmp_path: Path) -> None:
    found = listed(table(tmp_path, "video\na.mp4\nb.mp4\na.mp4\n"))
    assert [clip.id for clip in found.clips] == ["a", "b"]
    assert [one.reason for one in found.bad] == ["row 3: says the same as row 1"]
    found = listed(table(tmp_path, "video,id\na.mp4,x\nb.mp4,X\na.mp4,y\n"))
    assert [clip.id for clip in found.clips] == ["y"]
    assert [one.reason.partition(",")[0] for one in found.bad] == [
        "row 1: 'x' is also told of in row 2",
        "row 2: 'X' is also told of in row 1",
    ]
    found = listed(
        table(tmp_path, "video,split,smile\na.mp4,train,1\na.mp4,val,1\na.mp4,train,1\nb.mp4,val,0\n", "b.mp4")
    )
    assert [clip.id for clip in found.clips] == ["b"]
    assert len(found.bad) == 3


def test_parts_that_differ_in_a_late_digit_are_two_clips(tmp_path: Path) -> None:
    clips = read(table(tmp_path, "video,start\na.mp4,1234.5678\na.mp4,1234.5681\na.mp4,2\n"))
    assert [clip.id for clip in clips] == ["a-1234.5678-", "a-1234.5681-", "a-2-"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_read_where_the_header_tells_it(tmp_path: Path, separator: str) -> None:
    text = "Video,start,identity,smile,box\na.mp4,1.5,Ann,1,10 20 110 140\n".replace(",", separator)
    (clip,) = read(table(tmp_path, text))
    assert (clip.start, clip.identity, label(clip, "smile")) == (1.5, "Ann", 1)
    assert clip.box == (10.0, 20.0, 110.0, 140.0)


def test_decimal_commas_beside_semicolons(tmp_path: Path) -> None:
    (clip,) = read(table(tmp_path, "video;start;end;identity;x0;y0;x1;y1;\na.mp4;1,5;2,25;1,5;0,1;0;,5;1;\n"))
    assert (clip.start, clip.end, clip.identity, clip.box) == (1.5, 2.25, "1,5", (0.1, 0.0, 0.5, 1.0))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    path = table(tmp_path, "")
    path.write_text("video,identity\na.mp4,é\n", encoding=encoding)
    assert read(path)[0].identity == "é"
    (tmp_path / "clips.jsonl").write_text('{"video": "a.mp4", "identity": "\u2028é"}\n', encoding=encoding)
    assert read(tmp_path / "clips.jsonl")[0].identity == "é"


def test_odd_names_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    names = ["12:30.mp4", "-x.mp4", "a::b.mp4", "home/c.mp4"]
    clips = read(table(tmp_path, "video\n12:30.mp4\n-x.mp4\na::b.mp4\n~/c.mp4\n", *names))
    assert [clip.video for clip in clips] == [str(tmp_path / name) for name in names]


def test_an_address_that_nothing_opens_is_one_absent_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(listed(table(tmp_path, "video\na.mp4\nnosuch://x/b.mp4\n")).clips) == 2
    assert "1 of the videos" in caplog.text and "nosuch://x/b.mp4" in caplog.text
    with pytest.raises(ConfigError, match="none of the 1 videos .*nosuch://x/b.mp4 .*cannot be opened"):
        read(table(tmp_path, "video\nnosuch://x/b.mp4\n"))


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
        ("clips.csv", b"path\na.mp4\n", "its columns are path; is it 'path'\\? Call it 'video'"),
        ("clips.csv", b"video,id\na.mp4\n", "row 1: has another number of values than the header"),
        ("clips.csv", b"video,smile,Smile\na.mp4,1,0\n", "has the column 'smile' twice"),
        ("clips.csv", b'video\n"a.mp4\n', "is no csv file"),
        ("clips.csv", b"\xff\xfe\x00", "is no UTF-16 text"),
        ("clips.csv", b"video\na\xe9.mp4\n", "is no UTF-8 text .*; save it as UTF-8"),
        ("clips.jsonl", b"{\n[]\n" + b"[" * 100_000, "row 1: is no JSON(.|\n)*row 2: is no JSON object(.|\n)*row 3: "),
        ("clips.jsonl", b'{"video": "a.mp4", "video": "b.mp4"}', "row 1: 'video' is given twice"),
        ("clips.jsonl", b'{"video": "a.mp4", "Video": "b.mp4"}', "row 1: 'video' is given twice"),
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


def test_a_parquet_table_with_ids_is_read_in_batches_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_ROWS_AT_ONCE", 2)
    columns = {
        "ID": ["one", "two", "one", "bad", "ONE", "three"],
        "video": ["a.mp4", "b.mp4", "a.mp4", None, "b.mp4", "c.mp4"],
        "end": [2.0, None, 2.0, None, None, float("nan")],
        "smile": ["yes", "no", "yes", "no", "", "perhaps"],
    }
    for name in "abc":
        (tmp_path / f"{name}.mp4").touch()
    pq.write_table(pa.table(columns), tmp_path / "clips.parquet")
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    (tmp_path / "clips.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    streamed, whole = listed(tmp_path / "clips.parquet"), listed(tmp_path / "clips.jsonl")
    assert [clip.id for clip in streamed.clips] == ["two", "three"]
    assert (streamed.clips, streamed.notes) == (whole.clips, whole.notes)
    assert sorted(one.reason for one in streamed.bad) == sorted(one.reason for one in whole.bad)
    assert len(streamed.bad) == 4
