import pytest

from favchat.config import load
from jobs.commands.settings import CONFIGS
from jobs.pipeline.digests import file_digest, folder_digest, source_digest


def digest(*settings):
    return source_digest(load(CONFIGS / "tiny.yaml", list(settings)))


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"aaa")
    return folder


def test_a_folder_is_told_by_names_and_sizes(videos):
    before = digest(f"data.source.path={videos}")
    assert digest(f"data.source.path={videos}") == before
    moved = videos.rename(videos.with_name("elsewhere"))
    assert digest(f"data.source.path={moved}") == before
    (moved / "a.mp4").write_bytes(b"aaaa")
    longer = digest(f"data.source.path={moved}")
    (moved / "b.mp4").write_bytes(b"")
    assert len({before, longer, digest(f"data.source.path={moved}")}) == 3


def test_lists_and_annotations_are_read(videos, tmp_path):
    listed = tmp_path / "clips.csv"
    listed.write_text("video\na.mp4\n")
    before = digest("data.source.kind=manifest", f"data.source.path={listed}")
    listed.write_text("video\nb.mp4\n")
    assert digest("data.source.kind=manifest", f"data.source.path={listed}") != before
    labels = tmp_path / "labels.json"
    found = set()
    for text in ("{}", "[]"):
        labels.write_text(text)
        found.add(
            digest("data.source.kind=celebv_hq", f"data.source.path={videos}", f"data.source.annotations={labels}")
        )
    assert len(found) == 2


def test_one_file_and_a_pattern_are_told_by_sizes(videos):
    one, some = f"data.source.path={videos}/a.mp4", f"data.source.path={videos}/*.mp4"
    before = digest(one), digest(some)
    (videos / "a.mp4").write_bytes(b"bbbb")
    assert digest(one) != before[0]
    assert digest(some) != before[1]


def test_parquet_files_of_a_corpus(tmp_path):
    assert folder_digest(str(tmp_path), ["shards"]) is None
    shards = tmp_path / "shards"
    shards.mkdir()
    (shards / "a.parquet").write_bytes(b"one")
    sizes, contents = folder_digest(str(tmp_path), ["shards"]), folder_digest(str(tmp_path), ["shards"], contents=True)
    (shards / ".b.parquet").write_bytes(b"half written")
    assert folder_digest(str(tmp_path), ["shards"]) == sizes
    (shards / "a.parquet").write_bytes(b"two")
    assert folder_digest(str(tmp_path), ["shards"]) == sizes
    assert folder_digest(str(tmp_path), ["shards"], contents=True) != contents


def test_a_file_that_is_not_there_has_none(tmp_path):
    assert file_digest(str(tmp_path / "x")) is None
