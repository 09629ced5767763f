"""Addresses: local paths stay plain and absolute, all others go through fsspec."""

from pathlib import Path

import fsspec
import pytest

from favchat.config import ConfigError
from favchat.io import paths


def put(address: str, content: bytes = b"content") -> str:
    with fsspec.open(address, "wb") as file:
        file.write(content)
    return address


def test_local_paths_are_plain_and_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.absolute("a/../b.mp4") == str(tmp_path / "b.mp4")
    assert paths.absolute(f"file://{tmp_path}/b.mp4") == str(tmp_path / "b.mp4")
    assert paths.join(str(tmp_path), "x/y.mp4") == str(tmp_path / "x" / "y.mp4")
    assert paths.join(str(tmp_path), "/elsewhere/y.mp4") == "/elsewhere/y.mp4"
    assert paths.join(str(tmp_path), "s3://bucket/y.mp4") == "s3://bucket/y.mp4"
    assert paths.parent(str(tmp_path / "y.mp4")) == str(tmp_path)


def test_remote_addresses_keep_their_scheme() -> None:
    assert paths.absolute("s3://bucket/clips/") == "s3://bucket/clips"
    assert paths.join("s3://bucket/clips", "a/../b.mp4") == "s3://bucket/clips/b.mp4"
    assert paths.parent("gs://bucket/clips/b.mp4") == "gs://bucket/clips"


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert paths.absolute("~/b.mp4") == paths.absolute("file://~/b.mp4") == "/home/ann/b.mp4"
    assert paths.join("/corpus", "~/b.mp4") == paths.join("s3://bucket", "~/b.mp4") == "/home/ann/b.mp4"
    assert paths.join("/corpus", "file:///x/b.mp4") == "/x/b.mp4"
    assert paths.join("/corpus", "a~/b.mp4") == "/corpus/a~/b.mp4"
    assert str(paths.path_of("~/corpus")) == "/home/ann/corpus"


@pytest.mark.parametrize("name", ["12:30.mp4", "a::b.mp4", "-x.mp4", "file:x.mp4", "s3:x.mp4", "a?b#c %20.mp4"])
def test_a_name_that_looks_like_something_else_is_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"video")
    place = paths.join(str(tmp_path), name)
    assert place == str(tmp_path / name) and paths.is_file(place) and not paths.is_pattern(place)
    assert paths.read_bytes(place) == b"video"
    assert paths.path_of(place).read_bytes() == b"video"
    assert paths.files_below(str(tmp_path)) == [place]


def test_what_is_there(memory: str, tmp_path: Path) -> None:
    file = put(f"{memory}/a/x.mp4")
    (tmp_path / "y.mp4").touch()
    assert paths.is_file(file) and paths.is_folder(f"{memory}/a") and paths.exists(file)
    assert not paths.is_file(f"{memory}/a") and not paths.is_folder(file)
    assert not paths.exists(f"{memory}/b")
    wanted = [f"{memory}/a/z.mp4", file, str(tmp_path / "z.mp4"), str(tmp_path / "y.mp4"), f"{memory}/none/x.mp4"]
    assert paths.absent(wanted) == [wanted[0], wanted[2], wanted[4]]


def test_the_content_of_a_file(memory: str) -> None:
    assert paths.read_bytes(put(f"{memory}/list.csv", b"video")) == b"video"
    with pytest.raises(ConfigError, match="absent.csv does not exist"):
        paths.read_bytes(f"{memory}/absent.csv")


def test_a_local_copy_of_a_remote_file_goes_when_it_is_no_longer_needed(memory: str) -> None:
    with paths.local_copy(put(f"{memory}/x.mp4", b"video")) as path:
        assert path.name == "x.mp4" and path.read_bytes() == b"video"
    assert not path.exists()
    with pytest.raises(FileNotFoundError), paths.local_copy(f"{memory}/absent.mp4"):
        pass


def test_a_folder_of_images_is_copied_whole(memory: str) -> None:
    put(f"{memory}/3/0.1.jpg", b"one")
    put(f"{memory}/3/0.2.jpg", b"two")
    with paths.local_copy(f"{memory}/3") as path:
        assert {file.name: file.read_bytes() for file in path.iterdir()} == {"0.1.jpg": b"one", "0.2.jpg": b"two"}


def test_a_local_file_is_its_own_copy(tmp_path: Path) -> None:
    with paths.local_copy(str(tmp_path / "x.mp4")) as path:
        assert path == tmp_path / "x.mp4"


def test_a_scheme_that_nothing_opens_is_named() -> None:
    with pytest.raises(ConfigError, match="nosuch://bucket/x.mp4 cannot be opened"):
        paths.exists("nosuch://bucket/x.mp4")


def test_an_address_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert paths.path_of(f"file://{tmp_path}") == tmp_path
    with pytest.raises(ConfigError, match="nothing://bucket/x cannot be reached: .*nothing"):
        paths.path_of("nothing://bucket/x")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ConfigError, match="s3://nowhere/x cannot be reached"):
        paths.path_of("s3://nowhere/x")
