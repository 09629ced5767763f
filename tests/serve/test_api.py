"""What the deployed application answers, through OpenAI's client and bare HTTP."""

import base64
import hashlib
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import av
import cv2
import httpx
import numpy as np
import openai
import pytest

from tests.serve.calls import ask, counters, data_url, encoded_video, question, two_faces
from tests.serve.conftest import NAMES, TOKENS, clip_path, video_file


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_one_of_plain_generation(server, expected, name) -> None:
    answer = ask(server, data_url(name))
    assert answer.choices[0].message.content == expected[name]
    assert answer.choices[0].finish_reason == "length"
    assert answer.model == "tiny"
    assert answer.usage.completion_tokens == TOKENS
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + TOKENS
    assert answer.usage.prompt_tokens > 32  # the visual tokens count


def test_a_streamed_answer_comes_in_parts_and_is_the_same(server, expected) -> None:
    stream = ask(server, data_url("pexels_0"), stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    parts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(parts) == expected["pexels_0"]
    assert len(parts) > TOKENS // 2
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == TOKENS


def test_the_stream_ends_with_done(server) -> None:
    body = {"model": "tiny", "messages": question(data_url("pexels_0")), "stream": True, "max_tokens": 3}
    response = httpx.post(f"{server.base}/chat/completions", json=body, timeout=60)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[0].removeprefix("data: "))["choices"][0]["delta"]["role"] == "assistant"


def test_answers_are_the_same_among_eight_other_requests(server, expected) -> None:
    stop = threading.Event()

    def disturb(index: int) -> None:
        while not stop.is_set():
            settings = {"temperature": 1.0, "seed": index} if index % 2 else {}
            ask(server, data_url(NAMES[index % 3]), text=f"Question {index}?", max_tokens=60, **settings)

    with ThreadPoolExecutor(9) as pool:
        others = [pool.submit(disturb, index) for index in range(8)]
        try:
            deadline = time.monotonic() + 60
            while counters(server)["running"] < 4 and time.monotonic() < deadline:
                time.sleep(0.05)
            for name in NAMES:
                assert ask(server, data_url(name)).choices[0].message.content == expected[name]
        finally:
            stop.set()
        for other in others:
            other.result()


def test_eight_at_once(server, expected) -> None:
    names = [NAMES[index % 3] for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: ask(server, data_url(name)), names))
    assert [answer.choices[0].message.content for answer in answers] == [expected[name] for name in names]


def test_a_second_question_neither_decodes_nor_encodes(server) -> None:
    before = counters(server)
    first = ask(server, data_url("pyfeat_0"))
    between = counters(server)
    assert between["decoded"] == before["decoded"] + 1
    assert between["encoded"] == before["encoded"] + 1
    second = ask(server, data_url("pyfeat_0"), text="Describe the person.")
    after = counters(server)
    assert (after["decoded"], after["encoded"]) == (between["decoded"], between["encoded"])
    assert after["requests"] == between["requests"] + 1
    assert first.choices[0].message.content != second.choices[0].message.content


def test_several_clients_with_a_new_video_decode_it_once(server) -> None:
    before = counters(server)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(server, data_url("franck_2")).choices[0].message.content, range(4)))
    after = counters(server)
    assert len(set(answers)) == 1
    assert (after["decoded"], after["encoded"]) == (before["decoded"] + 1, before["encoded"] + 1)


def test_a_conversation_of_several_turns_and_two_videos(server, talkative, clips) -> None:
    model, processor = talkative
    messages = [
        {"role": "system", "content": "Be brief."},
        *question(data_url("pexels_0")),
        {"role": "assistant", "content": "Yes."},
        *question(data_url("capture_0"), text="And this one?"),
    ]
    answer = server.client().chat.completions.create(model="tiny", messages=messages, max_completion_tokens=TOKENS)
    as_parts = [
        {**m, "content": [{"type": "video"} if p["type"] == "video_url" else p for p in m["content"]]}
        if isinstance(m["content"], list)
        else m
        for m in messages
    ]
    prompt = processor.apply_chat_template(as_parts, add_generation_prompt=True)
    inputs = processor(text=prompt, videos=[clips["pexels_0"], clips["capture_0"]])
    ids = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert answer.choices[0].message.content == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert answer.usage.prompt_tokens == inputs["input_ids"].shape[1]


def test_a_seed_repeats_a_sampled_answer(server, expected) -> None:
    def sampled(seed: int) -> str:
        answer = ask(server, data_url("pexels_0"), temperature=1.5, top_p=0.9, seed=seed)
        return answer.choices[0].message.content

    assert sampled(1) == sampled(1)
    assert len({sampled(1), sampled(2), sampled(3), expected["pexels_0"]}) > 2


def test_stop_ends_the_answer_before_the_string(server, expected) -> None:
    whole = expected["pexels_0"]
    answer = ask(server, data_url("pexels_0"), stop=whole[6:9])
    assert answer.choices[0].message.content == whole[: whole.index(whole[6:9])].rstrip()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens < TOKENS


def test_a_client_that_leaves_stops_the_generation(server) -> None:
    before = counters(server)
    stream = ask(server, data_url("pexels_0"), text="Tell me a long story.", stream=True, max_tokens=600)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 20
    while counters(server)["running"] and time.monotonic() < deadline:
        time.sleep(0.05)
    after = counters(server)
    assert after["running"] == 0
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["generated_tokens"] - before["generated_tokens"] < 600


def test_models(server) -> None:
    client = server.client()
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_an_uploaded_file_is_asked_about_by_its_id_and_deleted(server, expected) -> None:
    client = server.client()
    uploaded = client.files.create(file=clip_path("pexels_0"), purpose="user_data")
    assert uploaded.filename == "pexels_0.mp4"
    assert uploaded.bytes == clip_path("pexels_0").stat().st_size
    assert client.files.retrieve(uploaded.id).id == uploaded.id
    assert uploaded.id in [file.id for file in client.files.list()]
    assert client.files.content(uploaded.id).read() == clip_path("pexels_0").read_bytes()
    for address in (f"file:{uploaded.id}", uploaded.id):
        assert ask(server, address).choices[0].message.content == expected["pexels_0"]
    assert client.files.delete(uploaded.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(uploaded.id)
    with pytest.raises(openai.NotFoundError, match="No such file"):
        ask(server, f"file:{uploaded.id}")


def test_the_track_of_a_video(server, clips) -> None:
    uploaded = server.client().files.create(file=clip_path("capture_0"), purpose="vision")
    told = httpx.get(f"{server.base}/videos/{uploaded.id}", timeout=60).json()
    key = hashlib.sha256(clip_path("capture_0").read_bytes()).hexdigest()
    assert told["id"] == key
    assert httpx.get(f"{server.base}/videos/{key}", timeout=60).json() == told
    clip, track = clips["capture_0"], told["track"]
    np.testing.assert_allclose(track["boxes"], clip.boxes, atol=1e-4)
    np.testing.assert_allclose(track["landmarks"], clip.landmarks, atol=1e-4)
    np.testing.assert_allclose(track["timestamps"], clip.timestamps, atol=1e-4)
    assert track["visible"] == clip.visible.tolist()
    assert len(track["scores"]) == len(track["frames"]) == len(track["crops"]) == len(clip.frames)
    crop = cv2.imdecode(np.frombuffer(base64.b64decode(track["crops"][0]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(crop.astype(int) - clip.faces[0]).mean() < 5
    frame = cv2.imdecode(np.frombuffer(base64.b64decode(track["frames"][0]), np.uint8), cv2.IMREAD_COLOR)
    assert frame.shape == clip.frames[0].shape
    assert (told["width"], told["height"]) == (clip.info.width, clip.info.height)
    experts = told["experts"]
    assert experts["num_experts"] == 4 and len(experts["timestamps"]) == 4
    for layer in experts["layers"]:
        for stream in ("general", "face"):
            shares = np.array(layer[stream])
            assert shares.shape == (4, 4)
            np.testing.assert_allclose(shares.sum(axis=1), 2, atol=1e-4)  # top-k
    server.client().files.delete(uploaded.id)


def test_parameters_that_change_nothing_are_ignored(server) -> None:
    harmless = {"user": "me", "n": 1, "presence_penalty": 0, "metadata": {"a": "b"}, "store": False, "top_k": -1}
    ask(server, data_url("pexels_0"), max_tokens=2, extra_body=harmless)


def test_a_chat_without_a_video_is_not_answered_about_anybody(server) -> None:
    before = counters(server)
    answer = ask(server, text="Does the person look happy?")
    assert "no video" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    [notice] = answer.notices
    assert notice["code"] == "no_video" and notice["message"] == answer.choices[0].message.content
    chunks = list(ask(server, text="Who?", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == notice["message"]
    assert chunks[-1].notices == [notice]
    assert counters(server) == before  # the model was not asked


def test_of_several_faces_the_followed_one_is_told(server) -> None:
    url = encoded_video(two_faces())
    told = ask(server, url, max_tokens=2)
    assert [notice["code"] for notice in told.notices] == ["several_faces"]
    assert "2 faces" in told.notices[0]["message"] and "on the right" in told.notices[0]["message"]
    key = hashlib.sha256(base64.b64decode(url.split(",")[1])).hexdigest()
    video = httpx.get(f"{server.base}/videos/{key}", timeout=60).json()
    assert video["readable"] == 1
    assert video["people"] == {"found": 2, "followed": 2, "description": "the one on the right"}
    assert np.mean(video["track"]["boxes"], axis=0)[0] > 0.5
    assert ask(server, data_url("pexels_0"), max_tokens=2).notices == []


def test_a_preview_plays_what_browsers_do_not(server) -> None:
    client = server.client()
    plain = client.files.create(file=clip_path("capture_0"), purpose="vision")
    odd = client.files.create(file=("odd.avi", video_file(two_faces(), "avi", "mpeg4")), purpose="vision")
    assert plain.playable and not odd.playable
    response = httpx.get(f"{server.base}/videos/{odd.id}/preview", timeout=60)
    assert response.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(response.content)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    for file in (plain, odd):
        client.files.delete(file.id)


def test_every_status_is_described(server) -> None:
    api = httpx.get(f"{server.root}/openapi.json", timeout=60).json()
    for path, operations in api["paths"].items():
        for operation in operations.values():
            statuses = set(operation["responses"])
            assert {"200", "400", "401", "408", "413", "429", "500", "503", "504"} <= statuses and "422" not in statuses
            assert ("404" in statuses) == ("{" in path or path in ("/v1/chat/completions", "/v1/responses"))
    parameters = api["components"]["schemas"]["ChatCompletionRequest"]
    assert {"messages", "temperature", "guided_choice", "user"} <= set(parameters["properties"])
    assert api["security"] == [{"key": []}] and api["paths"]["/livez"]["get"]["security"] == []
    assert parameters["additionalProperties"] is False and parameters["properties"]["model"] == {"enum": ["tiny"]}


def test_a_face_in_numbers_through_all_deployments(server) -> None:
    uploaded = server.client().files.create(file=clip_path("capture_0"), purpose="vision")
    response = httpx.post(f"{server.base}/videos/{uploaded.id}/attributes", json={"window_s": 1.5}, timeout=60)
    told = response.json()
    assert told["face"]["found"] and told["face"]["size_px"] > 80
    assert [window["end"] for window in told["over_time"]["windows"]] == [1.5, 3.0]
    assert not any(row["taught"] for row in told["attributes"])  # this model was taught none
    assert httpx.post(f"{server.base}/videos/{uploaded.id}/attributes", json={"window_s": 1.5}).json() == told
    server.client().files.delete(uploaded.id)
