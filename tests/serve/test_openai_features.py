"""What OpenAI and vLLM offer beside plain answers, through OpenAI's client, with the deployments in this process."""

import base64
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import torch
from openai import OpenAI
from pydantic import BaseModel

from tests.serve.calls import data_url, question
from tests.serve.conftest import LIMITS, SCHEMA, TOKENS, picture


def ask(local_openai: OpenAI, *, text: str = "Is the person smiling?", url: str | None = None, **settings):
    return local_openai.chat.completions.create(
        model="tiny",
        messages=question(url or data_url("pexels_0"), text=text),
        **{"max_tokens": TOKENS, **settings},
    )


def refused(local_openai: OpenAI, **settings) -> dict:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(local_openai, **settings)
    return caught.value.body


def test_json_as_a_schema_has_it(local_openai) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "face", "schema": SCHEMA, "strict": True}}
    for settings in ({}, {"temperature": 1.5, "seed": 3}, {"stream": True}):
        answer = ask(local_openai, response_format=schema, max_tokens=200, **settings)
        if settings.get("stream"):
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        else:
            text = answer.choices[0].message.content
            assert answer.choices[0].finish_reason == "stop"
        found = json.loads(text)
        assert found.keys() == SCHEMA["properties"].keys()
        assert isinstance(found["smiling"], bool) and found["emotion"] in ("happy", "neutral")
        assert 0 <= found["age"] <= 99


def test_the_client_s_own_classes_are_filled(local_openai) -> None:
    class Face(BaseModel):
        smiling: bool
        glasses: bool

    answer = local_openai.chat.completions.parse(
        model="tiny", messages=question(data_url("pexels_0")), response_format=Face, max_tokens=100
    )
    assert isinstance(answer.choices[0].message.parsed, Face)


def test_forms_of_vllm(local_openai) -> None:
    def text(**form) -> str:
        return ask(local_openai, extra_body=form, max_tokens=100).choices[0].message.content

    assert re.fullmatch(r"(yes|no), [a-z]{3,5}\.", text(guided_regex=r"(yes|no), [a-z]{3,5}\."))
    assert re.fullmatch("[ab]{4}", text(structured_outputs={"regex": "[ab]{4}"}))
    assert json.loads(text(guided_json=SCHEMA)).keys() == json.loads(text(structured_outputs={"json": SCHEMA})).keys()
    assert text(guided_grammar='start: "left" | "right"') in ("left", "right")


def test_guided_requests_leave_others_in_the_batch_as_they_are(local_openai, expected) -> None:
    with ThreadPoolExecutor(6) as pool:
        forms = [
            pool.submit(ask, local_openai, extra_body={"guided_regex": "[xy]{20}"}, max_tokens=40) for _ in range(3)
        ]
        plain = [pool.submit(ask, local_openai, url=data_url("capture_0")) for _ in range(3)]
        assert all(re.fullmatch("[xy]{20}", one.result().choices[0].message.content) for one in forms)
        assert {one.result().choices[0].message.content for one in plain} == {expected["capture_0"]}


def test_a_form_that_cannot_be_read_is_refused(local_openai) -> None:
    for form, field in (
        ({"guided_regex": "("}, "guided_regex"),
        ({"guided_grammar": "start: nothing"}, "guided_grammar"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_json": {"type": "nonsense"}}, "guided_json"),
        ({"guided_regex": "a" * 70_000}, "guided_regex"),
        ({"guided_choice": ["a"], "guided_regex": "b"}, "guided_choice"),
        ({"structured_outputs": {"lark": "x"}}, "structured_outputs.lark"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"guided_choice": ["a", "b"], "n": 2}, "n"),
    ):
        assert refused(local_openai, extra_body=form)["param"] == field, form


def test_of_options_the_likeliest_is_chosen_by_exact_likelihood(local_openai, talkative, clips) -> None:
    model, processor = talkative
    options = ["happy", "sad and tired", "hap", "no"]
    answer = ask(local_openai, text="What is the expression?", extra_body={"guided_choice": options}, logprobs=True)
    [choice] = answer.choices
    ids = processor.prompt_ids(processor.prompt("What is the expression?"))
    totals = []
    for option in options:
        tail = processor.answer_ids(option)
        inputs = processor(text=processor.prompt("What is the expression?") + option, videos=[clips["pexels_0"]])
        with torch.inference_mode():
            logits = model(**inputs).logits[0].log_softmax(-1)
        totals.append(sum(float(logits[len(ids) - 1 + place, token]) for place, token in enumerate(tail)))
    weights = torch.tensor(totals).softmax(0).tolist()
    assert choice.option_probabilities == pytest.approx(dict(zip(options, weights, strict=True)), abs=1e-3)
    assert choice.message.content == options[weights.index(max(weights))]
    tokens = processor.answer_ids(choice.message.content)[:-1]
    assert len(choice.logprobs.content) == len(tokens) and choice.finish_reason == "stop"
    assert refused(local_openai, text="word " * 390, extra_body={"guided_choice": ["no " * 40]})["code"] == (
        "context_length_exceeded"
    )
    drawn = {
        ask(local_openai, extra_body={"structured_outputs": {"choice": ["a", "b"]}}, temperature=2, seed=seed)
        .choices[0]
        .message.content
        for seed in range(12)
    }
    assert drawn == {"a", "b"}


def test_logprobs_are_those_of_the_model(local_openai, talkative, clips, expected) -> None:
    model, processor = talkative
    answer = ask(local_openai, logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == TOKENS
    assert "".join(token.token for token in tokens).strip() == expected["pexels_0"]
    inputs = processor(text=processor.prompt("Is the person smiling?"), videos=[clips["pexels_0"]])
    with torch.inference_mode():
        logits = model(**inputs).logits[0, -1].log_softmax(-1)
    first = tokens[0]
    assert first.logprob == pytest.approx(float(logits.max()), abs=1e-3)
    assert first.top_logprobs[0].token == first.token and bytes(first.bytes).decode() == first.token
    found = [one.logprob for one in first.top_logprobs]
    assert found == pytest.approx(logits.topk(3).values.tolist(), abs=1e-3)
    chunks = list(ask(local_openai, logprobs=True, stream=True))
    streamed = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert [token.logprob for token in streamed] == pytest.approx([token.logprob for token in tokens], abs=1e-4)
    assert refused(local_openai, top_logprobs=2)["param"] == "top_logprobs"


def test_several_answers(local_openai, expected) -> None:
    answer = ask(local_openai, n=3, temperature=1.5, seed=5)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2] and len(set(texts)) == 3
    assert answer.usage.completion_tokens == 3 * TOKENS
    assert ask(local_openai, temperature=1.5, seed=5).choices[0].message.content == texts[0]
    assert {choice.message.content for choice in ask(local_openai, n=2).choices} == {expected["pexels_0"]}
    streamed = ["", "", ""]
    stream = ask(local_openai, n=3, temperature=1.5, seed=5, stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts and chunk.usage.completion_tokens == 3 * TOKENS
    assert refused(local_openai, n=9)["param"] == "n"


def test_penalties_and_biases(local_openai, expected) -> None:
    def most(**settings) -> int:
        text = ask(local_openai, max_tokens=60, **settings).choices[0].message.content
        return max(text.count(letter) for letter in text)

    assert most(frequency_penalty=2) < most()
    assert most(presence_penalty=2) <= most() and most(extra_body={"repetition_penalty": 5}) < most()
    first = ask(local_openai, logprobs=True, max_tokens=1).choices[0].logprobs.content[0].token
    letter = ord("Q") - 33 + 0
    biased = ask(local_openai, logit_bias={str(letter): 100}, max_tokens=5).choices[0].message.content
    assert len(set(biased)) == 1 and biased[0] != first
    assert refused(local_openai, logit_bias={"99999999": 1})["param"] == "logit_bias"
    assert refused(local_openai, logit_bias={"1": 101})["param"].startswith("logit_bias")


def test_top_k_and_min_p_keep_the_likeliest(local_openai, expected) -> None:
    for only in ({"top_k": 1}, {"min_p": 1.0}):
        answer = ask(local_openai, temperature=2, seed=1, extra_body=only)
        assert answer.choices[0].message.content == expected["pexels_0"]


def test_more_tokens_than_there_are_is_cut_and_said(local_openai) -> None:
    answer = ask(local_openai, max_tokens=100_000)
    assert answer.usage.completion_tokens == LIMITS.max_new_tokens
    assert answer.choices[0].finish_reason == "length"
    assert [notice["code"] for notice in answer.notices] == ["max_tokens_cut"]


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_picture_is_a_video_of_one_frame(local_openai, kind) -> None:
    url = f"data:image/{kind};base64,{base64.b64encode(picture(kind)).decode()}"
    part = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "Who?"}]}]
    answer = local_openai.chat.completions.create(model="tiny", messages=messages, max_tokens=4)
    assert answer.usage.completion_tokens == 4
    file = local_openai.files.create(file=(f"a.{kind}", io.BytesIO(picture(kind))), purpose="vision")
    part["image_url"]["url"] = f"file:{file.id}"
    again = local_openai.chat.completions.create(model="tiny", messages=messages, max_tokens=4)
    assert again.choices[0].message.content == answer.choices[0].message.content


def test_the_model_tells_its_context_and_its_age(local_openai) -> None:
    [model] = local_openai.models.list()
    assert model.max_model_len == 2048 and model.created > 1_700_000_000


def test_what_this_server_does_not_do_is_refused_by_name(local_openai) -> None:
    with pytest.raises(openai.NotFoundError):
        local_openai.completions.create(model="tiny", prompt="Hello")
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    assert refused(local_openai, tools=[tool])["param"] == "tools"
    assert refused(local_openai, extra_body={"temprature": 1})["param"] == "temprature"
    assert refused(local_openai, url="https://example.com/a.mp4")["code"] == "unsupported_video_url"
