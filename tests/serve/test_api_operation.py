"""The deployed application under load, its keys and logs, and its end."""

import json
import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
import ray

import serve.app
from jobs.key import run as make_key
from tests.serve.calls import ask, counters, data_url, question
from tests.serve.conftest import clip_path


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


def log_lines(text: str) -> list[dict]:
    """The lines of all deployments' logs that hold a text."""
    folder = Path(ray._private.worker._global_node.get_logs_dir_path()) / "serve"
    lines = [line for file in folder.glob("replica_*.log") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if text in line]


def logged(request_id: str) -> list[dict]:
    """What is logged about a request, as soon as the API's own line is there."""
    deadline = time.monotonic() + 20
    while not any("endpoint" in line for line in log_lines(request_id)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return log_lines(request_id)


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
    lines = logged("the-client-s-own")
    [line] = [line for line in lines if "endpoint" in line]
    assert (line["method"], line["endpoint"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert line["ms"] > 0 and line["model"] == "tiny" and line["completion_tokens"] == 4
    assert {line["deployment"] for line in lines} >= {"favchat_api", "favchat_engine"}
    with pytest.raises(openai.NotFoundError) as caught:
        ask(server, "file:file-" + "0" * 32, text=asked)
    assert caught.value.response.json()["request_id"] == caught.value.request_id
    [line] = logged(caught.value.request_id)
    assert (line["status"], line["code"]) == (404, "file_not_found")
    assert not log_lines(asked.split()[3].strip("?")), "the log quotes the client"


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
