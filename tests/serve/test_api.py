"""The deployed application, through OpenAI's client and bare HTTP."""

import base64
import errno
import hashlib
import io
import json
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import openai
import pytest
import ray
from ray.exceptions import RayTaskError

import serve.app
from jobs.key import run as make_key
from serve.error_handler import as_api_error
from tests.serve.conftest import NAMES, QUESTION, TOKENS, Server, clip_path, video_file


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


def test_too_many_at_once_are_turned_away(server) -> None:
    def story(index: int) -> openai.APIStatusError | None:
        try:
            ask(server, data_url("pexels_0"), text=f"Story {index}", max_tokens=150)
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


def test_health_does_not_wait_for_long_answers(server) -> None:
    def story(_: int) -> None:
        ask(server, data_url("pexels_0"), max_tokens=600)

    asked = counters(server)["requests"]
    with ThreadPoolExecutor(8) as pool:  # as many as the engine writes at once
        stories = [pool.submit(story, number) for number in range(8)]
        seen = []
        while not all(one.done() for one in stories):
            health = httpx.get(f"{server.root}/healthz", timeout=60)
            assert health.status_code == 200 and health.json()["counters"]["requests"] >= asked
            seen += health.json()["busy"]
    assert set(seen) <= {"engine"}
    assert httpx.get(f"{server.root}/healthz", timeout=60).json()["busy"] == []


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


def black(width: int, height: int, seconds: int) -> np.ndarray:
    return np.zeros((seconds, height, width, 3), np.uint8)


def two_faces() -> np.ndarray:
    """A face on the left, and the same one larger on the right, through four seconds."""
    with av.open(str(clip_path("pexels_0"))) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    scale = 320 / max(picture.shape)
    large = cv2.resize(picture, None, fx=scale, fy=scale)
    small = np.zeros_like(large)
    part = cv2.resize(large, None, fx=0.75, fy=0.75)
    small[: part.shape[0], : part.shape[1]] = part
    both = np.concatenate([small, large], axis=1)
    return np.repeat(both[None, : both.shape[0] // 2 * 2, : both.shape[1] // 2 * 2], 4, axis=0)


def encoded_video(images: np.ndarray) -> str:
    return "data:video/mp4;base64," + base64.b64encode(video_file(images)).decode()


def test_limits_on_duration_and_resolution(server) -> None:
    status, error = refusal(server, url=encoded_video(black(64, 64, 25)))
    assert (status, error["code"]) == (400, "video_too_long")
    assert "25.0 s" in error["message"] and "20 s" in error["message"]
    status, error = refusal(server, url=encoded_video(black(64, 1200, 2)))
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
        ({"messages": [{"role": "user", "content": "word " * 100_000}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "Hello"}] * 513}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "Hello"}], "messages_": ["a"] * 300_000}, 400, None),
        ({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 0}, 400, "max_tokens"),
        ({"messages": [{"role": "user", "content": "Hello"}], "temperature": 3}, 400, "temperature"),
        ({"messages": [{"role": "user", "content": "Hello"}], "n": 9}, 400, "n"),
        ({"messages": [{"role": "user", "content": "Hello"}], "tools": [{"type": "function"}]}, 400, "tools"),
        ({"messages": [{"role": "user", "content": "Hello"}], "stop": "x" * 2_000_000}, 413, None),
        ({"messages": [{"role": "user", "content": "Hello"}], "stop": "x" * 257}, 400, "stop"),
        ({"messages": [{"role": "user", "content": "Hello"}], "stop": [""]}, 400, "stop.0"),
        ({"messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 0}, 400, "max_tokens"),
    ],
)
def test_what_cannot_be_done_is_refused(server, body, status, param) -> None:
    got, error = refusal(server, body=body)
    assert got == status
    if param:
        assert error["param"] == param


def test_parameters_that_change_nothing_are_ignored(server) -> None:
    harmless = {"user": "me", "n": 1, "presence_penalty": 0, "metadata": {"a": "b"}, "store": False, "top_k": -1}
    ask(server, data_url("pexels_0"), max_tokens=2, extra_body=harmless)


def test_unknown_things_are_not_found(server) -> None:
    for path in ("/v1/files/file-" + "0" * 32, "/v1/files/..", "/v1/videos/" + "0" * 64, "/v1/nothing"):
        response = httpx.get(server.root + path, timeout=60)
        assert response.status_code == 404, path
        assert response.json()["error"]["message"]
    status, error = refusal(server, url="file:file-" + "0" * 32)
    assert (status, error["code"]) == (404, "file_not_found")


def test_another_method_is_told_which_there_are(server) -> None:
    for path, methods in (("models", "GET"), ("files", "GET, POST"), ("files/x", "DELETE, GET")):
        response = httpx.put(f"{server.base}/{path}", timeout=60)
        assert (response.status_code, response.headers["allow"]) == (405, methods)
        assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("content", [b"{", b"", b"[" * 200_000, b"\xff\xfe", json.dumps({"model": "\ud800"}).encode()])
def test_a_body_that_is_no_json(server, content) -> None:
    response = httpx.post(f"{server.base}/chat/completions", content=content, timeout=60)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("charset", ["utf-7", "raw_unicode_escape", "hex", "nonsense"])
def test_half_a_surrogate_pair_in_a_form_is_no_failure(server, charset) -> None:
    """Both names of codecs make one of the bytes; UTF-8 has no bytes for it."""
    half = {"utf-7": b"+2AA-", "raw_unicode_escape": rb"\ud800"}.get(charset, b"name")
    form = b"\r\n".join(
        [
            b'--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + half,
            b'--edge\r\nContent-Disposition: form-data; name="file"; filename="' + half + b'.mp4"\r\n\r\nno video',
            b"--edge--\r\n",
        ]
    )
    kind = f"multipart/form-data; charset={charset}; boundary=edge"
    response = httpx.post(f"{server.base}/files", content=form, headers={"content-type": kind}, timeout=60)
    assert response.status_code == 400, response.text


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


def test_junk_takes_no_place(server) -> None:
    before = len(list((Path(server.config.serve.store) / "videos").iterdir()))
    client = server.client()
    for data in (b"this is no video", clip_path("pexels_0").read_bytes()[:2000], b""):
        with pytest.raises(openai.BadRequestError) as caught:
            client.files.create(file=("a.mp4", data), purpose="user_data")
        assert (caught.value.body["code"], caught.value.body["param"]) == ("invalid_video", "file")
        assert refusal(server, url="data:video/mp4;base64," + base64.b64encode(data).decode())[0] == 400
    refusal(server, url=data_url("noface_0"))
    assert len(list((Path(server.config.serve.store) / "videos").iterdir())) == before


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


def test_many_who_send_half_a_body_are_in_nobody_s_way(server) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    slow = []
    try:
        for _ in range(230):
            slow.append(socket.create_connection(("127.0.0.1", server.config.serve.port), timeout=60))
            slow[-1].sendall(head)
        assert httpx.get(f"{server.root}/healthz", timeout=60).status_code == 200
        assert ask(server, data_url("pexels_0"), max_tokens=2).usage.completion_tokens == 2
    finally:
        for connection in slow:
            connection.close()


def test_the_same_clip_uploaded_used_and_deleted_by_many(server) -> None:
    def client(_: int) -> set[int]:
        seen: set[int] = set()
        with httpx.Client(base_url=server.base, timeout=120) as http:
            for _ in range(4):
                sent = http.post("/files", files={"file": ("a.mp4", clip_path("pexels_0").read_bytes())})
                seen.add(sent.status_code)
                if sent.status_code == 200:
                    name = sent.json()["id"]
                    seen |= {http.get(f"/files/{name}/content").status_code, http.get(f"/videos/{name}").status_code}
                    seen |= {http.get("/files").status_code, http.delete(f"/files/{name}").status_code}
        return seen

    with ThreadPoolExecutor(4) as pool:
        assert set.union(*pool.map(client, range(4))) == {200}
    assert not list(server.client().files.list())


def logged(server: Server, request_id: str) -> list[dict]:
    """The lines of all deployments' logs about a request, as soon as the API's own is there."""
    folder = Path(ray._private.worker._global_node.get_logs_dir_path()) / "serve"
    deadline = time.monotonic() + 20
    while True:
        lines = [line for file in folder.glob("replica_*.log") for line in file.read_text().splitlines()]
        found = [json.loads(line) for line in lines if request_id in line]
        if any("endpoint" in line for line in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_a_request_s_id_is_in_answers_errors_and_log_lines_and_nothing_that_was_said(server) -> None:
    asked = f"What of the {uuid.uuid4().hex}?"
    client = server.client()
    answer = client.chat.completions.with_raw_response.create(
        model="tiny",
        messages=question(data_url("pexels_0"), text=asked),
        max_tokens=4,
        extra_headers={"X-Request-ID": "the-client-s-own"},
    )
    assert answer.headers.get_list("x-request-id") == ["the-client-s-own"]
    lines = logged(server, "the-client-s-own")
    [line] = [line for line in lines if "endpoint" in line]
    assert (line["method"], line["endpoint"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert line["ms"] > 0 and line["model"] == "tiny" and line["completion_tokens"] == 4
    assert {line["deployment"] for line in lines} >= {"favchat_api", "favchat_engine"}
    with pytest.raises(openai.NotFoundError) as caught:
        ask(server, "file:file-" + "0" * 32, text=asked)
    assert caught.value.response.json()["request_id"] == caught.value.request_id
    [line] = logged(server, caught.value.request_id)
    assert (line["status"], line["code"]) == (404, "file_not_found")
    assert not logged(server, asked.split()[3].strip("?")), "the log quotes the client"


def test_keys_open_their_own_files_alone(server) -> None:
    """The file of the keys is empty in all other tests."""
    file = Path(server.config.serve.keys_file)
    assert server.client().models.list()
    try:
        ann, bob = (make_key(name, file=file, say=lambda _: None) for name in ("ann", "bob"))
        file.write_text(file.read_text() + "  max_uploads: 1\n  requests_per_minute: 6\n")
        deadline = time.monotonic() + 20
        while httpx.get(f"{server.base}/models", timeout=60).status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        with pytest.raises(openai.AuthenticationError) as caught:
            server.client("nonsense").models.list()
        assert caught.value.code == "invalid_api_key" and caught.value.request_id
        for path in ("healthz", "openapi.json"):
            assert httpx.get(f"{server.root}/{path}", timeout=60).status_code == 401
        for path in ("livez", "readyz"):
            assert httpx.get(f"{server.root}/{path}", timeout=60).json()["status"] == "ok"
        first, second = server.client(ann), server.client(bob)
        hers = first.files.create(file=clip_path("pexels_0"), purpose="user_data")
        his = second.files.create(
            file=clip_path("capture_0"),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
        assert his.expires_at == his.created_at + 3600 and hers.expires_at is None
        with pytest.raises(openai.BadRequestError, match="may have 1 uploaded files"):
            second.files.create(file=clip_path("capture_0"), purpose="user_data")
        assert [file.id for file in first.files.list()] == [hers.id]
        for refused in (second.files.retrieve, second.files.content, second.files.delete):
            with pytest.raises(openai.NotFoundError):
                refused(hers.id)
        with pytest.raises(openai.NotFoundError, match="No such file"):
            second.chat.completions.create(model="tiny", messages=question(f"file:{hers.id}"))
        with pytest.raises(openai.RateLimitError, match="6 requests a minute") as limited:
            second.files.delete(his.id)
        assert int(limited.value.response.headers["retry-after"]) <= 10
    finally:
        file.write_text("")
        time.sleep(2.5)
    for name in (hers.id, his.id):  # without keys all files are one's own
        server.client().files.delete(name)


def test_pages_of_named_origins_may_ask(server) -> None:
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    headers = {**asked, "Access-Control-Request-Headers": "authorization,content-type"}
    answer = httpx.options(f"{server.base}/chat/completions", headers=headers, timeout=60)
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://example.org"
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    answer = httpx.get(f"{server.base}/files/nothing", headers={"Origin": "https://example.org"}, timeout=60)
    assert answer.status_code == 404 and answer.headers["access-control-allow-origin"] == "https://example.org"
    for method in (httpx.get, httpx.options):
        answer = method(f"{server.base}/models", headers={**headers, "Origin": "https://other.org"}, timeout=60)
        assert "access-control-allow-origin" not in answer.headers


def test_a_full_disk_is_no_fault_of_the_program() -> None:
    full = as_api_error(OSError(errno.ENOSPC, "No space left on device"))
    assert (full.status, full.code) == (503, "server_busy")
    elsewhere = RayTaskError("prepare", "", OSError(errno.ENOSPC, "No space left on device")).as_instanceof_cause()
    assert as_api_error(elsewhere).code == "server_busy"  # in another process
    assert as_api_error(OSError(errno.EIO, "Input/output error")).status == 500


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


def test_while_it_drains_the_server_says_so(server) -> None:
    """The last test of this file: the application answers nothing else from here on."""
    stream = ask(server, data_url("pexels_0"), stream=True, max_tokens=200)
    next(iter(stream))
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(serve.app.drain, 60)
        while (response := httpx.get(f"{server.root}/healthz", timeout=60)).status_code == 200:
            time.sleep(0.02)
        assert response.status_code == 503 and int(response.headers["retry-after"]) > 0
        assert response.json()["error"]["code"] == "shutting_down"
        assert httpx.get(f"{server.root}/livez", timeout=60).status_code == 200
        ready = httpx.get(f"{server.root}/readyz", timeout=60)
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"  # what was under way is finished
        drained.result(60)
