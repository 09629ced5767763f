"""Several faces of a video, and parts of the model left out, with the deployments in this process."""

import base64

import cv2
import httpx
import numpy as np
import openai
import pytest
import torch

from favchat.model.generation import answer as plain_answer
from favchat.video import ClipSpecification
from serve.encoder import removable, video_features
from serve.view import View, ordered
from tests.serve.calls import two_faces
from tests.serve.conftest import QUESTION, TOKENS, clip_path, video_file


@pytest.fixture(scope="module")
def film(local_openai) -> str:
    """The id of a video of two faces, the main one on the right."""
    return local_openai.files.create(file=("two.mp4", video_file(two_faces())), purpose="vision").id


@pytest.fixture(scope="module")
def people(centerface, tmp_path_factory) -> list:
    """The clips of its faces, read without a server."""
    path = tmp_path_factory.mktemp("film") / "two.mp4"
    path.write_bytes(video_file(two_faces()))
    specification = ClipSpecification()
    return specification.read(path, specification.make_detector(), max_tracks=2)


def ask(client: openai.OpenAI, video: str, face: int | None = None, **settings) -> tuple[str, list[dict]]:
    chosen = {} if face is None else {"face": face}
    parts = [{"type": "video_url", "video_url": {"url": f"file:{video}", **chosen}}, {"type": "text", "text": QUESTION}]
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": parts}], max_tokens=TOKENS, extra_body=settings
    )
    return answer.choices[0].message.content, answer.notices


def told(client: openai.OpenAI, path: str) -> dict:
    return client.get(path, cast_to=httpx.Response).json()


def test_all_faces_are_told_of(local_openai, film) -> None:
    video = told(local_openai, f"/videos/{film}")
    assert video["face"] == 0 and [face["index"] for face in video["faces"]] == [0, 1]
    assert [face["from_left"] for face in video["faces"]] == [2, 1]
    main, other = video["faces"]
    assert main["share"] == other["share"] == 1
    assert len(main["boxes"]) == len(other["boxes"]) == len(video["track"]["timestamps"])
    assert main["boxes"] == video["track"]["boxes"] and main["boxes"][0][0] > 0.5 > other["boxes"][0][0]
    for face in video["faces"]:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(face["thumbnail"]), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[0] == picture.shape[1] > 32 and picture.std() > 10


def test_a_face_is_described_by_itself(local_openai, film) -> None:
    first, second = (told(local_openai, f"/videos/{film}?face={face}") for face in (0, 1))
    assert second["face"] == 1 and second["faces"] == first["faces"]
    assert second["track"]["boxes"] == first["faces"][1]["boxes"]
    assert second["people"] == {"found": 2, "followed": 1, "description": "the one on the left"}
    assert second["track"]["frames"] == first["track"]["frames"]
    assert second["track"]["crops"] != first["track"]["crops"]


def test_the_answer_is_about_the_face_that_is_meant(local_openai, film, talkative, people) -> None:
    expected = [plain_answer(*talkative, [clip], [QUESTION], max_new_tokens=TOKENS)[0] for clip in people]
    assert expected[0] != expected[1]
    for face, place in ((None, "right"), (0, "right"), (1, "left")):
        text, notices = ask(local_openai, film, face)
        assert text == expected[face or 0]
        assert place in notices[0]["message"]


def test_two_faces_of_one_video_in_a_chat(local_openai, film) -> None:
    parts = [{"type": "video_url", "video_url": {"url": f"file:{film}", "face": face}} for face in (1, 0)]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]
    answer = local_openai.chat.completions.create(model="tiny", messages=messages, max_tokens=2)
    assert ["left" in notice["message"] for notice in answer.notices] == [True, False]


def test_responses_take_a_face(local_openai, film) -> None:
    parts = [{"type": "input_file", "file_id": film, "face": 1}, {"type": "input_text", "text": QUESTION}]
    answer = local_openai.responses.create(
        model="tiny", input=[{"role": "user", "content": parts}], max_output_tokens=TOKENS
    )
    assert answer.output_text == ask(local_openai, film, 1)[0]


@pytest.mark.parametrize("face", [2, 15])
def test_a_face_that_does_not_exist(local_openai, film, face) -> None:
    calls = (
        lambda: ask(local_openai, film, face),
        lambda: told(local_openai, f"/videos/{film}?face={face}"),
        lambda: local_openai.post(f"/videos/{film}/attributes", cast_to=httpx.Response, body={"face": face}),
    )
    for call in calls:
        with pytest.raises(openai.BadRequestError, match=f"face = {face}: the video shows 2 faces, 0 to 1") as caught:
            call()
        assert (caught.value.body["code"], caught.value.body["param"]) == ("face_not_found", "face")
    assert told(local_openai, f"/files/{film}")["id"] == film  # it is still of use


@pytest.mark.parametrize("face", [-1, 16, "left"])
def test_what_is_no_face_is_refused_by_name(local_openai, film, face) -> None:
    for call in (lambda: ask(local_openai, film, face), lambda: told(local_openai, f"/videos/{film}?face={face}")):
        with pytest.raises(openai.BadRequestError, match="face"):
            call()


def test_parts_of_the_model_are_left_out_and_kept_apart(local_openai, talkative, clips) -> None:
    with clip_path("pexels_0").open("rb") as file:
        video = local_openai.files.create(file=file, purpose="vision").id
    with_all = ask(local_openai, video)[0]
    blind = ask(local_openai, video, without=["face_encoder"])[0]
    plain = ask(local_openai, video, without=["level_injection"])[0]
    both = ask(local_openai, video, without=["level_injection", "face_encoder"])[0]
    assert len({with_all, blind, plain}) == 3 and both == blind  # the levels come from the face encoder
    assert ask(local_openai, video)[0] == with_all and ask(local_openai, video, without=[])[0] == with_all

    model, processor = talkative
    whole, no_levels, no_face = video_features(
        model, processor, [clips["pexels_0"]] * 3, None, [(), ("level_injection",), ("face_encoder",)]
    )
    assert torch.equal(no_levels["tokens"], whole["tokens"]) and not no_levels["levels"].any()
    assert not torch.equal(no_face["tokens"], whole["tokens"]) and not no_face["levels"].any()
    assert whole["levels"].any()


def test_what_can_be_left_out_is_told_and_the_rest_refused(local_openai, talkative) -> None:
    assert local_openai.models.retrieve("tiny").without == ["face_encoder", "level_injection"]
    with pytest.raises(openai.BadRequestError, match="without"):
        ask(local_openai, "file-" + "0" * 32, without=["experts"])
    model, _ = talkative
    levels, model.model.adapter.level_proj = model.model.adapter.level_proj, torch.nn.ModuleList()
    try:
        assert removable(model) == ("face_encoder",)
    finally:
        model.model.adapter.level_proj = levels


def test_views_have_names_of_their_own() -> None:
    parts = ordered(["level_injection", "face_encoder", "face_encoder"])
    assert parts == ("face_encoder", "level_injection")
    views = [View("k"), View("k", 1), View("k", 0, parts), View("k", 1, parts), View("k", 0, parts[:1])]
    assert views[0].name == "" and len({view.name for view in views}) == len(views)
