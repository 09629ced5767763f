"""YouTube Faces: who is seen, which folder of frames, where the face is."""

import shutil
from pathlib import Path

import av
import pytest

from favchat.config import ConfigError, SourceConfig
from favchat.data.sources.youtube_faces import youtube_faces_clips
from favchat.video import read_frames

SAMPLE = Path(__file__).parents[3] / "platform" / "favchat" / "sample" / "clips"


def frames(folder: Path, first: int, count: int = 3) -> None:
    folder.mkdir(parents=True)
    with av.open(str(SAMPLE / "franck_0.mp4")) as container:
        for number, frame in zip(range(first, first + count), container.decode(video=0), strict=False):
            frame.to_image().save(folder / f"{folder.name}.{number}.jpg")


def source(path: Path) -> SourceConfig:
    return SourceConfig(kind="youtube_faces", path=str(path))


def test_a_clip_is_a_folder_of_frames_of_a_person(tmp_path: Path) -> None:
    root = tmp_path / "frame_images_DB"
    frames(root / "Ann_Lee" / "0", 9)
    shutil.copytree(root / "Ann_Lee" / "0", root / "Bo_Ek" / "2")
    boxes = "Ann_Lee\\0\\0.9.jpg,0,100,80,40,60,0.0,1\nAnn_Lee\\0\\0.10.jpg,0,102,80,40,60,0.0,1\n"
    (root / "Ann_Lee.labeled_faces.txt").write_text(boxes)
    one, two = youtube_faces_clips(source(tmp_path)).clips
    assert (one.id, one.identity, one.video) == ("Ann_Lee__0", "Ann_Lee", str(root / "Ann_Lee" / "0"))
    assert (two.id, two.identity, two.box, two.split) == ("Bo_Ek__2", "Bo_Ek", None, "")
    assert one.box == (81.0, 50.0, 121.0, 110.0)
    assert youtube_faces_clips(source(root)).clips == [one, two]
    assert len(read_frames(one.video, fps=25.0).images) == 3


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no frames below .*; expected <name>/<video no>/<frame>.jpg"):
        youtube_faces_clips(source(tmp_path))


def test_lines_of_boxes_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("Ann_Lee/0", "Ann_Lee/1", "Bo_Ek/0"):
        frames(tmp_path / name, 0, count=1)
    lines = ["\ufeffAnn_Lee\\0\\0.0.jpg,0,100,80,40,60,0,1", "Ann_Lee,3", "Ann_Lee\\0\\0.1.jpg,0,nan,80,40,60,0,1"]
    lines.append("Ann_Lee\\1\\0.1.jpg,0,100,80,0,60,0,1")
    (tmp_path / "Ann_Lee.labeled_faces.txt").write_text("\n".join(lines))
    found = youtube_faces_clips(source(tmp_path))
    assert [(clip.id, clip.box) for clip in found.clips] == [
        ("Ann_Lee__0", (80.0, 50.0, 120.0, 110.0)),
        ("Bo_Ek__0", None),
    ]
    assert found.notes == {"lines of boxes left out": 2}
    assert [one.name for one in found.bad] == ["Ann_Lee__1"]
    assert "must have x0 < x1" in found.bad[0].reason
