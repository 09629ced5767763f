"""Whatever is written into an annotation file, its entries become clips and rejects, or there is one clear error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from upath import UPath

from favchat.config import ConfigError, SourceConfig
from favchat.data.listing.entries import Listing
from favchat.data.listing.rejects import write_source_rejects
from favchat.data.sources import list_clips
from favchat.labels.attributes import ACTION, APPEARANCE

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 300),
    st.sampled_from([10**400, -(10**400), 1e308, -0.0, float("nan"), float("inf"), "\ud800", "\0", "../x", "a" * 3000]),
    st.floats(-2, 2),
    st.text(max_size=6),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome(source: SourceConfig) -> Listing | None:
    """What becomes of the entries, which can be written as rows; None: a clear error."""
    try:
        found = list_clips(source)
    except ConfigError as error:
        assert str(error)
        return None
    ids = [clip.id for clip in found.clips]
    assert len(set(ids)) == len(ids)
    out = UPath(f"memory://mutations/{id(found)}")
    rejects = write_source_rejects(found.bad, source, out, [pa.chunked_array([ids], pa.string())])
    assert len(set(rejects)) == len(found.bad) and not set(rejects) & set(ids)
    for clip in found.clips:
        assert all(value is None or value.encode() for value in (clip.id, clip.video, clip.identity))
        assert set(clip.appearance) | set(clip.action) <= {0, 1, None}
        assert clip.box is None or (clip.box[0] < clip.box[2] and clip.box[1] < clip.box[3])
    return found


def replaced(draw: Callable[[Any], Any], value: Any, depth: int) -> Any:
    """The value with one thing somewhere in it, at this depth at most, replaced by junk, taken away or added."""
    if isinstance(value, dict) and value and depth:
        key = draw(st.sampled_from(sorted(value)))
        change = draw(st.sampled_from(["inside", "inside", "gone", "renamed"]))
        rest = {name: content for name, content in value.items() if name != key}
        if change == "gone":
            return rest
        if change == "renamed":
            return {**rest, draw(st.text(max_size=5)): value[key]}
        return {**value, key: replaced(draw, value[key], depth - 1)}
    if isinstance(value, list) and value and depth:
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], replaced(draw, value[place], depth - 1), *value[place + draw(st.integers(0, 1)) :]]
    return draw(JUNK)


def hq_entry(name: str) -> dict[str, Any]:
    labels = [{"emotion": "happy", "start_sec": 0, "end_sec": 1}, {"emotion": "fear", "start_sec": 1, "end_sec": 2}]
    return {
        "ytb_id": name,
        "split": "train",
        "duration": {"start_sec": 1.0, "end_sec": 4.0},
        "bbox": {"top": 0.1, "bottom": 0.9, "left": 0.1, "right": 0.9},
        "attributes": {
            "appearance": [0] * len(APPEARANCE),
            "action": [None] * len(ACTION),
            "emotion": {"sep_flag": True, "labels": labels},
        },
    }


MAPPINGS = {
    "appearance_mapping": [attribute.name for attribute in APPEARANCE],
    "action_mapping": [attribute.name for attribute in ACTION],
}


@pytest.mark.parametrize("kind", ["celebv_hq", "celebv_text"])
@FEW
@given(data=st.data())
def test_json(kind: Any, data: st.DataObject, tmp_path: Path) -> None:
    videos = tmp_path / "videos" if kind == "celebv_text" else tmp_path
    (tmp_path / "texts" / "emotion").mkdir(parents=True, exist_ok=True)
    (tmp_path / "texts" / "emotion" / "cut.txt").write_text("She is happy.")
    videos.mkdir(exist_ok=True)
    for name in ("cut", "raw"):
        (videos / f"{name}.mp4").touch()
    clips = {"cut": hq_entry("x"), "raw_0": hq_entry("raw"), "raw_1": hq_entry("raw")}
    for name in clips:
        if data.draw(st.booleans()):
            clips[name] = replaced(data.draw, clips[name], depth=4)
    text = json.dumps({"meta_info": MAPPINGS, "clips": clips})
    again = data.draw(st.booleans())
    if again:  # one more entry of an id
        text = text.replace(
            '"clips": {', '"clips": {"cut": ' + json.dumps(replaced(data.draw, hq_entry("x"), 3)) + ", "
        )
    (tmp_path / "info.json").write_text(text)
    found = outcome(SourceConfig(kind=kind, path=str(tmp_path), annotations=str(tmp_path / "info.json")))
    if found is not None:
        assert len(found.clips) + len(found.bad) == len(clips) + again


ROW = {"video": "a.mp4", "id": "x", "start": 0.5, "end": 2, "identity": "Ann", "split": "val", "box": [1, 2, 30, 40]}
ROW |= {"smile": 1, "emotion": "happy", "x0": None, "y0": None, "x1": None, "y1": None}


@FEW
@given(data=st.data())
def test_json_lines(data: st.DataObject, tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "id": "y"}, {**ROW, "id": "z", "video": "b.mp4"}]
    lines = [json.dumps(replaced(data.draw, row, 2) if data.draw(st.booleans()) else row) for row in rows]
    (tmp_path / "a.mp4").touch()
    (tmp_path / "clips.jsonl").write_text("\n".join(lines))
    found = outcome(SourceConfig(kind="manifest", path=str(tmp_path / "clips.jsonl")))
    if found is not None:
        assert len(found.clips) + len(found.bad) == len(rows)


TABLES = {
    "clips.csv": "video,id,start,end,identity,box,smile,emotion\na.mp4,x,0.5,2,Ann,,1,happy\nb.mp4,y,,,Bo,,,\n",
    "Train & Test Set/single/no_caption/set_1/train.txt": "00001.mp4 anger\n00002.mp4 happiness\n",
}


@pytest.mark.parametrize("name", TABLES)
@FEW
@given(data=st.data())
def test_bytes_anywhere_in_a_text(name: str, data: st.DataObject, tmp_path: Path) -> None:
    content = TABLES[name].encode()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        taken = data.draw(st.integers(0, 4))
        content = content[:place] + data.draw(st.binary(max_size=4)) + content[place + taken :]
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    (tmp_path / "data" / "clips").mkdir(parents=True, exist_ok=True)
    for video in ("a.mp4", "data/clips/00001.mp4"):
        (tmp_path / video).touch()
    if name.endswith("csv"):
        outcome(SourceConfig(kind="manifest", path=str(file)))
        return
    file.with_name("test.txt").write_text("00003.mp4 fear\n")
    found = outcome(SourceConfig(kind="mafw", path=str(tmp_path)))
    if found is not None:
        entries = [line for line in content.decode("utf-8-sig").splitlines() if line.strip()]
        assert len(found.clips) + len(found.bad) == len(entries) + 1


@FEW
@given(data=st.data())
def test_cells_of_a_table(data: st.DataObject, tmp_path: Path) -> None:
    cell = st.text(st.characters(codec="utf-8", exclude_characters='\n\r\0";,\t|'), max_size=6)
    lines = [line.split(",") for line in TABLES["clips.csv"].splitlines()]
    lines.append(["a.mp4", "w", "1", "3", "Cy", "", "0", ""])
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.integers(1, len(lines) - 1))
        lines[row][data.draw(st.integers(0, 7))] = data.draw(cell)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "clips.csv").write_text("\n".join(map(",".join, lines)))
    found = outcome(SourceConfig(kind="manifest", path=str(tmp_path / "clips.csv")))
    if found is not None:
        assert len(found.clips) + len(found.bad) == len(lines) - 1


@FEW
@given(data=st.data())
def test_lines_of_boxes(data: st.DataObject, tmp_path: Path) -> None:
    (tmp_path / "Ann" / "0").mkdir(parents=True, exist_ok=True)
    (tmp_path / "Ann" / "0" / "0.1.jpg").touch()
    numbers = [str(data.draw(st.one_of(st.integers(-9, 99), JUNK))) for _ in range(4)]
    line = f"Ann\\0\\0.1.jpg,0,{','.join(numbers)},0,1\n"
    (tmp_path / "Ann.labeled_faces.txt").write_bytes(line.encode(errors="surrogatepass"))
    found = outcome(SourceConfig(kind="youtube_faces", path=str(tmp_path)))
    assert found is None or len(found.clips) + len(found.bad) == 1
