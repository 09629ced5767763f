"""Readers' clips: kept over a reload, forgotten when nobody looks, never somebody's files."""

from pathlib import Path

import pytest

from ui.library import MOST, Clip, Libraries, Library, restored

TURNS = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "She."}]


def test_what_the_browser_keeps_comes_back_without_paths() -> None:
    library = Library()
    library.add([Clip("a.mp4", Path("/secret/a.mp4"), file_id="file-1", talks={1: TURNS}, face=1)])
    kept = library.remembered("token")
    assert "secret" not in str(kept)
    [clip] = restored(kept)
    assert (clip.name, clip.file_id, clip.turns, clip.path) == ("a.mp4", "file-1", TURNS, None)
    assert clip.state == "waiting" and clip.id == library.chosen


@pytest.mark.parametrize("field", ["id", "file_id"])
def test_a_browser_cannot_name_files(field) -> None:
    library = Library()
    library.add([Clip("a.mp4", None, file_id="file-1")])
    kept = library.remembered("token")
    kept["clips"][0][field] = "../../etc/passwd"
    with pytest.raises(ValueError, match="no name"):
        list(restored(kept))


def test_a_tab_resumes_what_its_browser_kept_and_keeps_what_it_took_in_meanwhile() -> None:
    libraries = Libraries(lambda file_id: None)
    token, library = libraries.of("first tab")
    library.add([Clip("a", None)])
    libraries.of("second tab")[1].add([Clip("b", None)])
    assert libraries.resume("second tab", token)
    assert [clip.name for clip in libraries.of("second tab")[1].clips.values()] == ["a", "b"]
    assert not libraries.resume("second tab", "unknown")


def test_uploads_go_when_nobody_looks_any_more() -> None:
    gone: list[str | None] = []
    libraries = Libraries(gone.append)
    token, library = libraries.of("tab")
    library.add([Clip("a", None, file_id="file-1")])
    libraries.tidy(kept=100)
    assert gone == []
    libraries.tidy(kept=0)
    assert gone == ["file-1"] and libraries.of("tab")[0] != token


def test_there_is_room_for_so_many() -> None:
    assert len(Library().add(Clip(str(number), None) for number in range(MOST + 5))) == MOST


def test_another_face_has_a_conversation_of_its_own() -> None:
    clip = Clip("a", None, state="ready", video={"n": 0}, scores={}, read={0: ({"n": 0}, {})})
    clip.turns = TURNS
    assert clip.choose(1) and clip.state == "waiting" and clip.turns == []
    clip.read[1] = {"n": 1}, {}
    assert not clip.choose(0) and clip.turns == TURNS and clip.video == {"n": 0}
