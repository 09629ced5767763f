"""``/v1/responses`` through OpenAI's client, with the deployments in this process."""

import base64
import json

import openai
import pytest
from pydantic import BaseModel

from tests.serve.calls import data_url
from tests.serve.conftest import QUESTION, SCHEMA, TOKENS, clip_path, picture


def parts(text: str = QUESTION, **file: str) -> list[dict]:
    content = [{"type": "input_file", **file}, {"type": "input_text", "text": text}]
    return [{"role": "user", "content": content}]


@pytest.fixture
def create(local_openai):
    def made(given=None, **settings):
        given = given or parts(filename="a.mp4", file_data=data_url("pexels_0"))
        return local_openai.responses.create(model="tiny", input=given, **{"max_output_tokens": TOKENS, **settings})

    return made


def test_the_answer_is_that_of_a_chat(local_openai, create, expected) -> None:
    answer = create()
    assert answer.output_text == expected["pexels_0"]
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.usage.output_tokens == TOKENS and answer.usage.input_tokens > 32
    file = local_openai.files.create(file=clip_path("capture_0"), purpose="user_data")
    assert create(parts(file_id=file.id)).output_text == expected["capture_0"]
    local_openai.files.delete(file.id)


def test_a_stream_has_openai_s_events(create, expected) -> None:
    events = list(create(stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events[4:-4]) == expected["pexels_0"] == events[-4].text
    assert events[-1].response.output_text == expected["pexels_0"]


def test_turns_instructions_and_pictures(local_openai, create) -> None:
    first = create()
    image = "data:image/png;base64," + base64.b64encode(picture("png")).decode()
    more = [
        *parts(file_data=data_url("pexels_0")),
        *(item.model_dump() for item in first.output),
        {"role": "user", "content": [{"type": "input_image", "image_url": image, "detail": "auto"}]},
        {"role": "user", "content": "And now?"},
    ]
    answer = create(more, instructions="Be brief.", temperature=1.0, top_p=0.9, metadata={"a": "b"}, store=False)
    assert answer.usage.input_tokens > first.usage.input_tokens + 32
    assert answer.instructions == "Be brief." and answer.metadata == {"a": "b"}


def test_forms_and_logprobs(local_openai, create) -> None:
    form = {"format": {"type": "json_schema", "name": "face", "schema": SCHEMA, "strict": True}}
    answer = create(text=form, max_output_tokens=200)
    assert answer.status == "completed" and json.loads(answer.output_text).keys() == SCHEMA["properties"].keys()

    class Face(BaseModel):
        smiling: bool

    given = parts(file_data=data_url("pexels_0"))
    parsed = local_openai.responses.parse(model="tiny", input=given, text_format=Face, max_output_tokens=50)
    assert isinstance(parsed.output_parsed, Face)
    told = create(include=["message.output_text.logprobs"], top_logprobs=2)
    tokens = told.output[0].content[0].logprobs
    assert len(tokens) == TOKENS and len(tokens[0].top_logprobs) == 2


def test_without_a_video_the_notice_is_the_answer(create) -> None:
    answer = create("Who is this?")
    assert answer.status == "completed" and "no video" in answer.output_text
    assert [notice["code"] for notice in answer.notices] == ["no_video"]


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"background": True}, "background"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"extra_body": {"n": 2}}, "n"),
        ({"given": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input"),
        ({"given": parts(file_url="https://example.com/a.mp4", file_data="data:")}, "input.0.content.0.file_url"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(create, settings, param) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(**settings)
    assert caught.value.body["param"] == param
