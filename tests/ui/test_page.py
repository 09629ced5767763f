"""The page in a browser: choose or upload a clip, ask, read the streamed answer, stop it."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest

from favchat.config import Config
from jobs.demo import SAMPLE_CLIPS, showing
from tests.serve.conftest import video_file
from tests.ui.conftest import WORDS, Reader, free_port, until
from ui.page import QUESTIONS, SILENCE


@pytest.fixture(scope="module")
def address(running_fake) -> Iterator[str]:
    """The page before the stand-in for the API."""
    with showing(Config(), server=running_fake.base, clip=None, port=free_port(), browser=False, say=print) as address:
        yield address


@pytest.fixture
def reader(browser, fake, address) -> Iterator[Reader]:
    reader = Reader(browser, address, viewport={"width": 1280, "height": 900})
    yield reader
    reader.page.context.close()
    assert reader.hosts - {""} == {urlsplit(address).netloc}, "the page asked another host"
    assert reader.errors == []


def test_an_empty_page_says_how_to_begin(reader) -> None:
    reader.page.get_by_text("Choose a clip to begin").wait_for()
    assert not reader.page.get_by_label("Question").is_enabled()
    assert reader.button("Ask").count() == 0
    reader.page.wait_for_function("document.querySelectorAll('#fc-samples video').length == 6")


def test_upload_ask_and_ask_again(reader, fake) -> None:
    reader.upload(SAMPLE_CLIPS / "franck_2.mp4")
    reader.page.get_by_role("status").get_by_text("Finding the face").wait_for()
    reader.ready()
    assert fake.uploads == ["franck_2.mp4"]
    assert reader.page.locator(".fc-strip figure").count() == 3
    assert reader.page.locator(".fc-maps table").count() == 4
    reader.ask("Who is it?")
    answer = "".join(WORDS[:5]).strip()
    reader.answered(answer)
    fake.words = 7
    reader.ask("And now?")
    reader.answered("".join(WORDS[:7]).strip())
    assert reader.said("user") == ["Who is it?", "And now?"]
    assert [message.content for message in fake.requests[1].messages[1:]] == [answer + " ", "And now?"]
    assert fake.requests[1].addresses() == ["file:file-1"]


def test_an_answer_grows_while_it_is_written(reader, fake) -> None:
    fake.hold = 4
    reader.choose("pyfeat_0")
    reader.ready()
    reader.ask("Tell me.")
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word3").wait_for()
    assert reader.said("bot") == ["word0 word1 word2 word3"]
    fake.hold = None
    reader.answered("word0 word1 word2 word3 word4")


def test_stop_cancels_the_request_and_keeps_what_was_said(reader, fake) -> None:
    fake.hold = 4
    reader.choose("pyfeat_0")
    reader.ready()
    reader.ask("Tell me everything.")
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word3").wait_for()
    reader.button("Stop").click()
    reader.button("Ask").wait_for()
    assert until(lambda: fake.cut == 1), "the server would go on writing"
    assert reader.said("bot") == ["word0 word1 word2 word3"]
    fake.words, fake.hold = 2, None
    reader.ask("Go on.")
    reader.answered("word0 word1")
    assert reader.said("user") == ["Tell me everything.", "Go on."]


def test_an_offered_question_is_asked_at_a_click(reader, fake) -> None:
    reader.choose("pyfeat_0")
    reader.ready()
    reader.page.get_by_text(QUESTIONS[1]).click()
    reader.answered("word4")
    assert reader.said("user") == [QUESTIONS[1]]


def test_a_clip_that_cannot_be_used_is_explained(reader, fake) -> None:
    reader.choose("noface_0")
    assert reader.alert() == "This clip cannot be used. No face is to be seen in <this> video."
    assert not reader.page.get_by_label("Question").is_enabled()
    reader.choose("pyfeat_0")
    reader.ready()
    assert reader.page.get_by_role("alert").count() == 0
    assert fake.deleted == ["file-1"]


def test_offered_questions_go_with_the_clip_that_they_were_about(reader, fake) -> None:
    offer = reader.page.get_by_text(QUESTIONS[1])
    reader.choose("pyfeat_0")
    reader.ready()
    offer.wait_for()
    reader.choose("noface_0")
    reader.alert()
    assert offer.count() == 0
    reader.choose("pyfeat_0")
    reader.ready()
    offer.wait_for()


def test_a_clip_that_the_browser_does_not_play_gets_a_preview(reader, fake, tmp_path) -> None:
    (tmp_path / "odd.avi").write_bytes(video_file(np.zeros((3, 64, 64, 3), np.uint8), "avi", "mpeg4"))
    reader.upload(tmp_path / "odd.avi")
    reader.ready()
    player = "document.querySelector('#fc-video video')"
    reader.page.wait_for_function(f"{player}.videoWidth > 64 && {player}.readyState >= 2")
    reader.page.wait_for_function(f"{player}.currentSrc.includes('preview-')")
    reader.ask("Who is it?")
    reader.answered("word4")
    assert (fake.previews, fake.uploads, fake.deleted) == (1, ["odd.avi"], [])
    assert reader.page.get_by_text("not playable").count() == 0
    reader.choose("pyfeat_0")  # the preview is no obstacle to the next clip
    reader.page.get_by_text("Ask about this clip").wait_for()
    assert until(lambda: fake.deleted == ["file-1"]) and fake.previews == 1


def test_several_faces_are_named(reader, fake) -> None:
    fake.people = 2
    reader.choose("pyfeat_0")
    reader.ready()
    assert "2 faces are seen at once" in reader.page.locator(".fc-note").inner_text()


def test_a_refused_question_can_be_sent_again(reader, fake) -> None:
    reader.choose("pyfeat_0")
    reader.ready()
    fake.refusal = (400, "Too long a talk.")
    reader.send("Why?")  # the refusal takes the question out of the conversation before anybody may have seen it
    assert reader.alert() == "No answer. Too long a talk."
    assert reader.said("user") == [] and reader.page.get_by_label("Question").input_value() == "Why?"
    fake.refusal = None
    reader.button("Ask").click()
    reader.answered("word4")
    assert reader.said("user") == ["Why?"] and reader.page.get_by_role("alert").count() == 0


def test_an_answer_without_a_word_is_said_to_be_one(reader, fake) -> None:
    fake.words = 0
    reader.choose("pyfeat_0")
    reader.ready()
    reader.ask("Why?")
    reader.answered(SILENCE)


def test_another_clip_begins_another_conversation(reader, fake) -> None:
    reader.choose("pyfeat_0")
    reader.ready()
    reader.ask("Why?")
    reader.answered("word4")
    reader.choose("capture_0")
    reader.page.get_by_text("Ask about this clip").wait_for()
    assert reader.said("user") == []
    assert fake.deleted == ["file-1"] and len(fake.uploads) == 2


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_sticks_out_of_the_page(browser, fake, address, width) -> None:
    reader = Reader(browser, address, viewport={"width": width, "height": 844})
    reader.choose("pyfeat_0")
    reader.ready()
    assert reader.page.evaluate("document.documentElement.scrollWidth") == width
    boxes = {
        name: reader.page.locator(name).bounding_box() for name in ("#fc-clip", "#fc-track", "#fc-right", "#fc-experts")
    }
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes.values())
    if width == 390:  # one column, the conversation before the experts
        tops = [box["y"] for box in boxes.values()]
        assert tops == sorted(tops)
    reader.page.context.close()


def test_the_page_names_no_font_host(address) -> None:
    import httpx

    page = httpx.get(address).text
    assert not re.search(r"fonts\.(googleapis|gstatic)|cdnjs|unpkg|jsdelivr", page)
    assert httpx.get(f"{address}theme.css").text.count("@import") == 0
