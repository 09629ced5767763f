"""A folder as a source: what counts, in which order, under which ids, and what is said where nothing counts."""

import os
from pathlib import Path

import fsspec
import pytest

from favchat.config import ConfigError, SourceConfig
from favchat.data.sources.folder import folder_clips


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def ids(root: Path) -> list[str]:
    return [clip.id for clip in folder_clips(SourceConfig(path=str(root))).clips]


def test_videos_at_any_depth_count_and_nothing_else(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b.mp4",
        "a/deep/x.MOV",
        "a/c.webm",
        "a/d.mkv",
        "e.avi",
        "f.mpg",
        "notes.txt",
        ".hidden.mp4",
        ".git/g.mp4",
    )
    assert ids(tmp_path) == ["a__c", "a__d", "a__deep__x", "b", "e", "f"]


def test_ids_are_safe_as_file_names_and_keep_letters_of_any_script(tmp_path: Path) -> None:
    touch(tmp_path, "name with spaces é.mp4", "we:ird*?.mp4")
    assert ids(tmp_path) == ["name_with_spaces_é", "we_ird__"]


def test_files_that_would_share_an_id_all_get_another(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4", "x.mov", "a/b.mp4", "a__b.mp4", "y.mp4")
    found = ids(tmp_path)
    assert len(set(found)) == 5
    assert "y" in found
    assert not {"x", "a__b"} & set(found)


def test_an_id_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    for root in ("one", "two"):
        touch(tmp_path / root, "x.mp4", "x.mov", "s/y.mp4")
    assert ids(tmp_path / "one") == ids(tmp_path / "two")


def test_labels_are_unknown(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4")
    (clip,) = folder_clips(SourceConfig(path=str(tmp_path))).clips
    assert clip.appearance == [None] * 40
    assert clip.action == [None] * 35
    assert (clip.emotion, clip.emotion_segments, clip.identity, clip.end) == (None, [], None, None)
    assert clip.video == str(tmp_path / "x.mp4")


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4", "y.mp4")
    assert ids(tmp_path / "y.mp4") == ["y"]


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "videos/x.mp4")
    monkeypatch.chdir(tmp_path)
    (clip,) = folder_clips(SourceConfig(path="videos")).clips
    assert clip.video == str(tmp_path / "videos" / "x.mp4")


def test_a_link_back_up_ends(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp4")
    os.symlink(tmp_path, tmp_path / "a" / "up")
    assert ids(tmp_path) == ["a__x"]


@pytest.mark.parametrize(
    ("name", "said"), [("absent", "does not exist"), ("empty", "no video below"), ("notes.txt", "is no video")]
)
def test_errors_name_the_path_and_what_is_wrong(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "notes.txt")
    with pytest.raises(ConfigError, match=f"data.source.path.*{said}|{said}") as raised:
        ids(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def pattern(root: Path, pattern: str) -> list[str]:
    return [clip.id for clip in folder_clips(SourceConfig(path=f"{root}/{pattern}")).clips]


def test_a_pattern_names_some_of_the_videos(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp4", "a/y.mov", "b/deep/x.mp4", "b/.hidden.mp4", "b/notes.txt")
    assert pattern(tmp_path, "*/x.mp4") == ["a__x"]
    assert pattern(tmp_path, "**/*.mp4") == ["a__x", "b__deep__x"]
    assert pattern(tmp_path, "a/?.*") == ["x", "y"]
    with pytest.raises(ConfigError, match=r"no video matches .*\*\.avi"):
        pattern(tmp_path, "*.avi")


def test_a_link_back_up_shows_no_video_twice(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp4")
    os.symlink(tmp_path, tmp_path / "a" / "up")
    assert pattern(tmp_path, "**/*.mp4") == ["a__x"]


def test_a_path_that_exists_is_no_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "take [1]/x.mp4")
    assert ids(tmp_path / "take [1]") == ["x"]


def test_any_address_that_fsspec_opens(memory: str) -> None:
    for name in ("a/x.mp4", "b.mov", ".hidden/y.mp4", "notes.txt"):
        with fsspec.open(f"{memory}/{name}", "wb") as file:
            file.write(b"video")
    clips = folder_clips(SourceConfig(path=memory)).clips
    assert [(clip.id, clip.video) for clip in clips] == [("a__x", f"{memory}/a/x.mp4"), ("b", f"{memory}/b.mov")]
    assert [clip.id for clip in folder_clips(SourceConfig(path=f"{memory}/*/*.mp4")).clips] == ["a__x"]
    assert [clip.id for clip in folder_clips(SourceConfig(path=f"{memory}/b.mov")).clips] == ["b"]
    with pytest.raises(ConfigError, match="absent does not exist"):
        folder_clips(SourceConfig(path=f"{memory}/absent"))
