"""The deployed application, through OpenAI's client and bare HTTP."""

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

from tests.serve.conftest import NAMES, QUESTION, TOKENS, Server, clip_path


def data_url(name: str) -> str:
    return "data:video/mp4;base64," + base64.b64encode(clip_path(name).read_bytes()).decode()


def question(*urls: str, text: str = QUESTION) -> list[dict]:
    parts = [{"type": "video_url", "video_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def ask(server: Server, *urls: str, text: str = QUESTION, **settings):
    return server.client().chat.completions.create(
        model="tiny", messages=question(*urls, text=text), **{"max_tokens": TOKENS, **settings}
    )


def counters(server: Server) -> dict[str, int]:
    return httpx.get(f"{server.root}/healthz", timeout=60).json()["counters"]


def refusal(server: Server, *, url: str = "", body: dict | None = None) -> tuple[int, dict]:
    """Status and error of a chat that must be refused."""
    request = {"model": "tiny", "messages": question(url), **(body or {})}
    response = httpx.post(f"{server.base}/chat/completions", json=request, timeout=120)
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return response.status_code, error


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
    body = {"model": "tiny", "messages": question(text="Hello"), "stream": True, "max_tokens": 3}
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
    inputs = processor(prompt, [clips["pexels_0"], clips["capture_0"]])
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
    stream = ask(server, text="Tell me a long story.", stream=True, max_tokens=600)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 20
    while counters(server)["running"] and time.monotonic() < deadline:
        time.sleep(0.05)
    after = counters(server)
    assert after["running"] == 0
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["generated_tokens"] - before["generated_tokens"] < 600


def test_too_many_at_once_are_turned_away(server) -> None:
    def story(index: int) -> openai.APIStatusError | None:
        try:
            ask(server, text=f"Story {index}", max_tokens=150)
        except openai.APIStatusError as error:
            return error
        return None

    with ThreadPoolExecutor(30) as pool:
        refused = [error for error in pool.map(story, range(30)) if error is not None]
    # Eight write and eight wait; of a sudden burst, Ray Serve counts as waiting those that it has yet to hand on.
    assert 0 < len(refused) <= 30 - 8
    for error in refused:
        assert error.status_code == 503
        assert error.body["code"] == "server_busy" and error.body["type"] == "server_error"


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


def test_a_file_that_is_no_video(server) -> None:
    url = "data:video/mp4;base64," + base64.b64encode(b"this is no video").decode()
    status, error = refusal(server, url=url)
    assert status == 400 and error["code"] == "invalid_video"
    assert "not a video" in error["message"] and "/" not in error["message"].split("cannot be used")[1]


def test_a_video_without_a_face(server) -> None:
    status, error = refusal(server, url=data_url("noface_0"))
    assert status == 400 and error["code"] == "no_face"


def encoded_video(width: int, height: int, seconds: int) -> str:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(seconds):
            frame = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return "data:video/mp4;base64," + base64.b64encode(target.getvalue()).decode()


def test_limits_on_duration_and_resolution(server) -> None:
    status, error = refusal(server, url=encoded_video(64, 64, 25))
    assert (status, error["code"]) == (400, "video_too_long")
    assert "25.0 s" in error["message"] and "20 s" in error["message"]
    status, error = refusal(server, url=encoded_video(64, 1200, 2))
    assert (status, error["code"]) == (400, "video_too_large")


def test_a_body_beyond_the_limit(server) -> None:
    status, error = refusal(server, url="data:video/mp4;base64," + "A" * 2_100_000)
    assert status == 413 and error["code"] == "body_too_large" and "2 MB" in error["message"]
    with pytest.raises(openai.APIStatusError, match="exceeds 2 MB") as caught:
        server.client().files.create(file=("large.mp4", b"0" * 2_100_000), purpose="user_data")
    assert caught.value.status_code == 413


def test_a_body_beyond_the_limit_that_does_not_say_its_size(server) -> None:
    parts = (b"0" * 100_000 for _ in range(30))
    response = httpx.post(
        f"{server.base}/chat/completions", content=parts, headers={"content-type": "application/json"}, timeout=60
    )
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


@pytest.mark.parametrize("url", ["https://example.com/clip.mp4", "file:///etc/passwd", "/etc/passwd", "ftp://a/b"])
def test_addresses_elsewhere_are_refused(server, url) -> None:
    status, error = refusal(server, url=url)
    assert (status, error["code"]) == (400, "unsupported_video_url")


@pytest.mark.parametrize("url", ["data:video/mp4;base64,@@@", "data:video/mp4,abc"])
def test_a_broken_data_address(server, url) -> None:
    status, error = refusal(server, url=url)
    assert (status, error["code"]) == (400, "invalid_data_url")


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "gpt-4o"}, 404, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 400, None),
        ({"messages": [{"role": "user", "content": "a <|video|> of mine"}]}, 400, "messages.0"),
        ({"messages": [{"role": "user", "content": "word " * 1000}], "max_tokens": 5}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 601}, 400, "max_tokens"),
        ({"messages": [{"role": "user", "content": "Hello"}], "temperature": 3}, 400, "temperature"),
        ({"messages": [{"role": "user", "content": "Hello"}], "n": 2}, 400, "n"),
        ({"messages": [{"role": "user", "content": "Hello"}], "tools": [{"type": "function"}]}, 400, "tools"),
        ({"messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 601}, 400, "max_tokens"),
    ],
)
def test_what_cannot_be_done_is_refused(server, body, status, param) -> None:
    got, error = refusal(server, body=body)
    assert got == status
    if param:
        assert error["param"] == param


def test_parameters_that_change_nothing_are_ignored(server) -> None:
    ask(server, text="Hi", max_tokens=2, user="me", n=1, presence_penalty=0, metadata={"a": "b"}, store=False)


def test_unknown_things_are_not_found(server) -> None:
    for path in ("/v1/files/file-" + "0" * 32, "/v1/files/..", "/v1/videos/" + "0" * 64, "/v1/nothing"):
        response = httpx.get(server.root + path, timeout=60)
        assert response.status_code == 404, path
        assert response.json()["error"]["message"]
    status, error = refusal(server, url="file:file-" + "0" * 32)
    assert (status, error["code"]) == (404, "file_not_found")


def test_body_that_is_no_json(server) -> None:
    response = httpx.post(f"{server.base}/chat/completions", content=b"{", timeout=60)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
