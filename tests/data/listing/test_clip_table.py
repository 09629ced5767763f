"""Clips as tables, in memory and in files."""

from pathlib import Path

import pytest

from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.data.listing import clip_table
from favchat.data.listing.clip_table import LIST_SCHEMA, ClipTable, TableWriter, clip_of_row, row_of_clip

CLIPS = [
    Clip(
        id=f"c{number}",
        video=f"/{number}.mp4",
        start=number / 2,
        end=None if number % 2 else 9.0,
        identity="Ann" if number % 3 else None,
        box=(0.0, 0.1, 0.5, 0.6) if number % 2 else None,
        appearance=[1, 0, *[None] * 38],
        emotion_segments=[EmotionSegment("happy", 0.0, 1.5)] if number % 4 == 0 else [],
    )
    for number in range(25)
]


def written(clips: list[Clip]) -> TableWriter:
    writer = TableWriter(LIST_SCHEMA)
    for clip in clips:
        writer.add(row_of_clip(clip))
    return writer


@pytest.mark.parametrize("in_memory", [10, 1])
def test_clips_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(clip_table, "ROWS", 4)
    monkeypatch.setattr(clip_table, "IN_MEMORY", in_memory)
    clips = ClipTable(written(CLIPS).tables())
    assert (len(clips), len(clips.tables)) == (25, 7)
    assert list(clips) == CLIPS == clips and clips != CLIPS[1:] and clips != CLIPS[::-1]
    assert (clips[0], clips[-1], clips[4], clips[3:9:2]) == (CLIPS[0], CLIPS[-1], CLIPS[4], CLIPS[3:9:2])
    with pytest.raises(IndexError):
        clips[25]


def test_the_files_of_a_long_list_go_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clip_table, "ROWS", 4)
    monkeypatch.setattr(clip_table, "IN_MEMORY", 1)
    monkeypatch.setattr(clip_table.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    writer = written(CLIPS)
    clips = ClipTable(writer.tables())
    del writer
    assert len(list(tmp_path.iterdir())) == 7 and clips == CLIPS and clips.tables[5:] == list(clips.tables)[5:]
    del clips
    assert not tmp_path.exists()


def test_an_empty_list_is_one() -> None:
    assert len(ClipTable([])) == 0 and ClipTable([]) == [] and not list(ClipTable(written([]).tables()))
    assert clip_of_row(row_of_clip(CLIPS[0])) == CLIPS[0]
