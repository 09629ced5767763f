"""The page in a browser, before a stand-in for the API: each thing that a reader does, once."""

import json
import re
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client, handle_file

from favchat.config import Config
from jobs.demo import SAMPLE_CLIPS, SAMPLES, showing
from tests.serve.conftest import video_file
from tests.ui.conftest import WORDS, Reader, free_port, until
from ui.conversation import SILENCE

pytestmark = pytest.mark.slow
ANSWER = "".join(WORDS[:5]).strip()


@pytest.fixture(scope="module")
def address(running_fake) -> Iterator[str]:
    """The page before the stand-in for the API."""
    with showing(Config(), server=running_fake.base, clip=None, port=free_port(), browser=False, say=print) as address:
        yield address


@pytest.fixture
def reader(browser, fake, address) -> Iterator[Reader]:
    reader = Reader(browser, address, viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield reader
    reader.page.context.close()
    assert reader.hosts - {""} == {urlsplit(address).netloc}, "the page asked another host"
    assert reader.errors == []


def violations(page) -> list[str]:
    """What axe-core finds, with the places."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in found]


def test_an_empty_page_says_how_to_begin(reader) -> None:
    reader.page.get_by_text("Add a clip to begin").wait_for()
    reader.page.wait_for_selector('.fc-status[data-state="ok"]')
    assert not reader.page.locator("#fc-question textarea").is_enabled()
    assert reader.page.locator("#fc-samples button").all_inner_texts() == list(SAMPLES)
    assert reader.page.locator(".fc-model-name").inner_text() == "fake"
    assert not re.search("encoder|token|aligned crop", reader.page.locator("body").inner_text(), re.IGNORECASE)
    assert "Not for decisions about people" in reader.page.locator(".fc-ethics").inner_text()
    assert violations(reader.page) == []
    card = reader.page.locator("#fc-card h1")
    assert not card.is_visible()
    reader.page.get_by_role("link", name="What it was taught").click()
    card.wait_for()
    assert violations(reader.page) == []


def test_a_clip_is_shown_told_about_and_asked(reader, fake) -> None:
    reader.choose("laughing")
    reader.ready()
    page = reader.page
    # The face is drawn on the picture where the track says, and the playhead and the player go together.
    page.wait_for_selector(".fc-overlay rect", state="attached")
    wide = float(page.locator(".fc-overlay").get_attribute("viewBox").split()[2])
    box = {name: float(page.locator(".fc-overlay rect").get_attribute(name)) for name in ("x", "width")}
    assert (box["x"], box["width"]) == pytest.approx((0.25 * wide, 0.25 * wide))
    assert page.locator(".fc-overlay circle").count() == 5
    marks = page.locator(".fc-marks").bounding_box()
    page.mouse.click(marks["x"] + 0.8 * marks["width"], page.locator(".fc-band svg").bounding_box()["y"] + 5)
    page.wait_for_function("Math.abs(document.querySelector('.fc-picture video').currentTime - 2.0) < 0.05")
    page.wait_for_function("document.querySelector('.fc-axis').getAttribute('aria-valuenow') == '2.0'")
    page.locator(".fc-axis").press("ArrowLeft")
    page.wait_for_function("document.querySelector('.fc-axis').getAttribute('aria-valuenow') == '1.9'")
    page.wait_for_selector(".fc-overlay rect", state="detached")  # the face is lost there
    # The result says what is plain, what is not, and why.
    result = " ".join(page.locator(".fc-result").inner_text().split())
    assert "Looks happy" in result and "80 %" in result and "40 pixels" in result
    assert "female" in result and "wearing a necklace?" in result and "not taught" in result
    # Offered questions are asked at a click; what was not taught is greyed and says so.
    crying = page.get_by_role("button", name="Is the person crying?")
    assert crying.get_attribute("aria-disabled") == "true" and "not taught" in crying.inner_text()
    page.get_by_role("button", name="Is the person smiling?").click()
    reader.answered(ANSWER)
    assert re.search(r"First word after \d+\.\d s", page.locator("#fc-timing").inner_text())
    fake.words = 7
    reader.ask("And now?")
    reader.answered("".join(WORDS[:7]).strip())
    assert page.evaluate("document.activeElement.matches('#fc-question textarea')"), "the focus was lost"
    assert reader.said("user") == ["Is the person smiling?", "And now?"]
    assert [message.content for message in fake.requests[1].messages[1:]] == [ANSWER + " ", "And now?"]
    second = fake.requests[1]
    assert [one.address for one in second.shown()] == ["file:file-1"] and second.temperature in (None, 0)
    assert violations(page) == []


def test_an_answer_grows_is_stopped_asked_again_and_edited(reader, fake) -> None:
    fake.hold = 4
    reader.choose("laughing")
    reader.ready()
    reader.ask("Tell me everything.")
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word3").wait_for()
    reader.page.get_by_text(re.compile(r"Answering · \d+\.\d s")).wait_for()
    reader.button("Stop").click()
    reader.button("Ask").wait_for()
    assert until(lambda: fake.cut == 1), "the server would go on writing"
    assert reader.said("bot") == ["word0 word1 word2 word3"]
    fake.words, fake.hold = 2, None
    reader.page.get_by_role("button", name="Retry").click()
    assert until(lambda: reader.said("bot") == ["word0 word1"])
    reader.button("Ask").wait_for()
    assert reader.said("user") == ["Tell me everything."]
    fake.words = 3
    reader.page.get_by_role("button", name="Edit").first.click()
    reader.page.locator("#fc-chat textarea").fill("Tell me less.")
    reader.page.get_by_role("button", name="Submit").click()
    reader.answered("word0 word1 word2")
    assert reader.said("user") == ["Tell me less."] and len(reader.said("bot")) == 1
    assert [len(request.messages) for request in fake.requests] == [1, 1, 1]


def test_a_clip_can_be_asked_about_while_it_is_scored(reader, fake) -> None:
    fake.scores = False
    reader.choose("laughing")
    reader.ask("Is the person smiling?")
    reader.answered(ANSWER)
    assert (
        reader.page.locator("#fc-result .fc-bar").count() == 1 and reader.page.locator("#fc-chips button").count() == 0
    )
    fake.scores = True
    reader.ready()
    assert until(lambda: reader.page.locator("#fc-chips button").count() > 0) and reader.said("bot") == [ANSWER]


def test_refusals_and_silence_are_told(reader, fake) -> None:
    reader.choose("no face")
    assert "No face is to be seen in <this> video." in reader.alert()
    assert not reader.page.locator("#fc-question textarea").is_enabled()
    reader.choose("laughing")
    reader.ready()
    assert until(lambda: reader.page.locator(".fc-alert").count() == 0)
    fake.refusal = (400, "Too long a talk.")
    reader.send("Why?")
    assert reader.alert() == "No answer. Too long a talk."
    assert reader.said("user") == [] and reader.page.locator("#fc-question textarea").input_value() == "Why?"
    fake.refusal, fake.words = None, 0
    reader.button("Ask").click()
    reader.answered(SILENCE)


def test_many_clips_fill_a_table_with_cancel_retry_and_open(reader, fake, tmp_path) -> None:
    fake.reads = False
    names = ["one.mp4", "damaged.mp4", "two.mp4", "three.mp4", "four.mp4"]
    for name in names:
        shutil.copy(SAMPLE_CLIPS / "pyfeat_0.mp4", tmp_path / name)
    reader.upload(*(tmp_path / name for name in names))
    table = reader.page.locator(".fc-clips")
    table.get_by_role("button", name="Cancel four.mp4").click()
    table.get_by_role("row", name="four.mp4").get_by_text("Cancelled").wait_for()
    fake.reads = True
    table.get_by_text("5 read", exact=True).wait_for()
    states = [row.locator("td").nth(4).inner_text() for row in table.locator("tbody tr").all()]
    assert states == ["Ready", "Failed", "Ready", "Ready", "Cancelled"]
    assert until(lambda: table.locator("tbody tr").first.locator("td").nth(1).inner_text() == "happy 80 %")
    table.get_by_role("button", name="Retry four.mp4").click()
    table.get_by_role("row", name="four.mp4").get_by_text("Ready").wait_for()
    table.get_by_role("button", name="two.mp4", exact=True).click()
    reader.page.locator(".fc-result header p", has_text="two.mp4").wait_for()
    assert violations(reader.page) == []
    table.get_by_role("button", name="Remove damaged.mp4").click()
    table.get_by_text("4 read", exact=True).wait_for()
    # Each clip keeps its own conversation, also over a reload of the page.
    reader.ready()
    reader.ask("Who is it?")
    reader.answered(ANSWER)
    table.get_by_role("button", name="one.mp4", exact=True).click()
    reader.page.get_by_text("Ask about this face").wait_for()
    table.get_by_role("button", name="two.mp4", exact=True).click()
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word4").wait_for()
    assert until(lambda: "clip=" in reader.page.url)
    reader.page.reload()
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word4").wait_for()
    assert until(lambda: reader.page.locator(".fc-clips tbody tr").count() == 4) and len(fake.uploads) == 5


def test_everything_can_be_taken_away(reader, fake) -> None:
    reader.choose("laughing")
    reader.ready()
    reader.ask("Why?")
    reader.answered(ANSWER)

    def saved(kind: str) -> tuple[str, bytes]:
        reader.page.get_by_label("Save as").click()
        reader.page.get_by_role("option", name=kind).click()
        with reader.page.expect_download() as download:
            reader.page.get_by_role("button", name="Save", exact=True).click()
        return download.value.suggested_filename, open(download.value.path(), "rb").read()

    name, text = saved("Profile, CSV")
    assert name == "laughing-profile.csv" and b"smile,action,smiling,True,True" in text
    assert json.loads(saved("Time line, JSON")[1])["over_time"]["windows"][0]["emotion"]["happy"] == 0.8
    assert saved("Time line, PNG")[1].startswith(b"\x89PNG")
    assert saved("Conversation, Markdown")[1].decode() == f"# laughing\n\n**You:** Why?\n\n**FaVChat:** {ANSWER}\n"


def test_a_server_that_is_busy_or_gone_is_told_of_and_waited_for(reader, fake) -> None:
    reader.choose("laughing")
    reader.ready()
    fake.state = "restarting"
    reader.page.wait_for_selector('.fc-status[data-state="restarting"]', timeout=5000)
    reader.send("Why?")
    reader.page.get_by_text("asking again").wait_for()
    reader.choose("talking")
    reader.page.locator(".fc-result", has_text="The server has no room.").wait_for()
    fake.state = "ok"
    reader.ready()
    reader.page.wait_for_selector('.fc-status[data-state="ok"]')
    reader.choose("laughing")
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word4").wait_for()
    reader.page.context.set_offline(True)
    reader.page.wait_for_selector('.fc-status[data-state="away"]', timeout=5000)
    with reader.page.expect_event("load"):  # it loads itself again, with what it knew
        reader.page.context.set_offline(False)
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word4").wait_for()
    fake.lost = True  # it began anew
    reader.ask("And now?")
    reader.page.locator('#fc-chat [data-testid="bot"]', has_text="word4").nth(1).wait_for()
    assert fake.uploads == ["pexels_4.mp4", "franck_6.mp4", "pexels_4.mp4"]


def test_a_clip_that_the_browser_does_not_play_gets_a_preview(reader, fake, tmp_path) -> None:
    (tmp_path / "odd.avi").write_bytes(video_file(np.zeros((3, 64, 64, 3), np.uint8), "avi", "mpeg4"))
    reader.upload(tmp_path / "odd.avi")
    reader.ready()
    player = "document.querySelector('.fc-picture video')"
    reader.page.wait_for_function(f"{player}.videoWidth > 64 && {player}.readyState >= 2")
    assert (fake.previews, fake.uploads, fake.deleted) == (1, ["odd.avi"], [])


def test_the_frames_that_an_answer_rests_on_are_outlined(reader, fake) -> None:
    reader.choose("laughing")
    reader.ready()
    reader.ask("Is she smiling?")
    reader.answered(ANSWER)
    reader.page.get_by_role("button", name="Why?").click()
    reader.page.get_by_text("It rests most on the frame at 0.0 s (61 % as likely without it).").wait_for()
    assert reader.page.locator(".fc-strip .fc-why").get_attribute("title") == "0.00 s"
    assert (fake.reasons[0].question, fake.reasons[0].answer.strip()) == ("Is she smiling?", ANSWER)
    reader.ask("And now?")
    reader.answered(ANSWER)
    reader.page.locator(".fc-strip .fc-why").wait_for(state="detached")


def test_one_of_several_faces_is_chosen_on_the_picture(reader, fake) -> None:
    fake.people = 2
    reader.choose("laughing")
    reader.ready()
    faces = reader.page.locator(".fc-people button")
    assert [face.get_attribute("aria-pressed") for face in faces.all()] == ["true", "false"]
    assert "2 faces are seen at once" in reader.page.locator(".fc-note").inner_text()
    assert violations(reader.page) == []
    reader.ask("Who is it?")
    reader.answered(ANSWER)
    reader.page.locator('.fc-other-face[data-face="1"]').click()
    reader.page.locator('.fc-people button[data-id="1"][aria-pressed="true"]').wait_for()
    reader.page.get_by_text("Ask about this face").wait_for()  # the other one has a conversation of its own
    reader.ask("And who is that?")
    reader.answered(ANSWER)
    addresses = [request.messages[0].content[0].video_url for request in fake.requests]
    assert [address.face for address in addresses] == [0, 1]
    faces.first.click()
    assert until(lambda: reader.said("user") == ["Who is it?"])


def test_engineers_choose_temperature_and_see_the_experts(reader, fake) -> None:
    reader.choose("laughing")
    reader.ready()
    reader.page.get_by_role("button", name="For engineers").click()
    reader.page.wait_for_selector(".fc-maps table")
    assert reader.page.locator(".fc-maps table").count() == 4
    assert "revision r1" in reader.page.locator("#fc-facts").inner_text()
    reader.page.get_by_label("number input for Temperature").fill("0.7")
    reader.page.get_by_label("number input for Longest answer").fill("16")
    reader.ask("Why?")
    reader.answered(ANSWER)
    assert (fake.requests[0].temperature, fake.requests[0].max_tokens) == (0.7, 16)
    reader.page.get_by_label("Sorted by").click()
    reader.page.get_by_role("option", name="Score").click()
    first = reader.page.locator(".fc-profile tbody th").first
    reader.page.wait_for_function("document.querySelector('.fc-profile tbody th').innerText == 'smiling'")
    assert first.inner_text() == "smiling"
    reader.choose("talking")  # another clip is sorted as the last one
    reader.page.locator(".fc-result header p", has_text="talking").wait_for()
    reader.ready()
    assert first.inner_text() == "smiling"
    assert violations(reader.page) == []


def test_the_same_question_is_asked_both_ways(reader, fake) -> None:
    reader.choose("laughing")
    reader.ready()
    reader.page.get_by_role("button", name="For engineers").click()
    reader.page.wait_for_function("document.querySelector('#fc-way-b input').value.includes('without')")

    def table() -> list[list[str]]:
        reader.page.get_by_role("button", name="Ask both ways").click()
        reader.page.locator(
            ".fc-compare thead", has_text=reader.page.locator("#fc-way-b input").input_value()
        ).wait_for()
        return [row.locator("th, td").all_inner_texts() for row in reader.page.locator(".fc-compare tr").all()]

    heads, answers, *rest = table()
    assert heads == ["Both ways", "fake", "fake without the face encoder"] and answers == ["Answer", ANSWER, ANSWER]
    asked = [(request.model_extra or {}).get("without") or request.without for request in fake.requests]
    assert sorted(map(str, asked)) == ["None", "['face_encoder']"]
    assert ["smiling", "97 %", "52 %"] in rest
    reader.page.locator("#fc-way-b input").click()
    reader.page.get_by_role("option", name="other", exact=True).click()
    assert ["smiling", "97 %", "31 %"] in table()


def test_the_camera_records_a_clip(reader, fake) -> None:
    reader.page.get_by_role("button", name="Record with the camera").click()
    camera = reader.page.locator("#fc-camera")
    camera.get_by_text("Click to Access Webcam").click()
    reader.page.wait_for_function("document.querySelector('#fc-camera video')?.videoWidth > 0")
    record = camera.locator(".capture-button")
    record.click()
    record.get_by_text("Stop").wait_for()
    reader.page.wait_for_timeout(700)  # a clip that long
    record.click()
    reader.ready()
    assert reader.page.locator(".fc-result header p").inner_text() == "recording 1" and len(fake.uploads) == 1


def test_programs_ask_the_page(address, fake) -> None:
    client = Client(address, verbose=False)
    told = client.predict(handle_file(SAMPLE_CLIPS / "pexels_4.mp4"), "Is the person smiling?", api_name="/analyse")
    assert told["answer"] == ANSWER and told["scores"]["emotion"]["happy"] == 0.8
    assert fake.deleted == ["file-1"]


@pytest.mark.parametrize("width", [390, 768])
def test_small_screens(browser, fake, address, width) -> None:
    reader = Reader(browser, address, viewport={"width": width, "height": 844}, color_scheme="dark")
    reader.choose("laughing")
    reader.ready()
    page = reader.page
    assert page.evaluate("document.documentElement.scrollWidth") == width
    drop = page.locator("#fc-drop").bounding_box()
    assert drop["x"] >= 0 and drop["x"] + drop["width"] <= width
    order = ("#fc-player", "#fc-result", "#fc-chat", "#fc-timeline", "#fc-profile")
    tops = [page.locator(name).bounding_box()["y"] for name in order]
    assert tops == sorted(tops)
    ask = page.locator("#fc-ask").bounding_box()
    assert ask["y"] + ask["height"] == pytest.approx(844, abs=1), "the question's box is not in reach"
    sizes = page.eval_on_selector_all(
        "input:not([type=checkbox]):not([type=file]):not([type=range]), textarea",
        "all => all.filter(one => one.offsetParent).map(one => parseFloat(getComputedStyle(one).fontSize))",
    )
    assert min(sizes) >= 16
    small = page.eval_on_selector_all(
        "button, a[href], input:not([type=file]), [role=slider]",
        "all => all.filter(one => one.offsetParent)"
        ".map(one => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])"
        ".filter(([, box]) => box.width && Math.min(box.width, box.height) < 23.9).map(([html]) => html)",
    )
    assert "\n".join(small) == ""
    assert violations(page) == []
    page.context.close()


def test_the_page_names_no_font_host(address) -> None:
    import httpx

    page = httpx.get(address).text
    assert not re.search(r"fonts\.(googleapis|gstatic)|cdnjs|unpkg|jsdelivr", page)
    assert httpx.get(f"{address}theme.css").text.count("@import") == 0
