"""What the deployed application refuses, and how it says so."""

import base64
import json
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from tests.serve.calls import data_url, encoded_video, question
from tests.serve.conftest import Server, clip_path


def refusal(server: Server, *, url: str = "", body: dict | None = None) -> tuple[int, dict]:
    """Status and error of a chat that must be refused."""
    request = {"model": "tiny", "messages": question(url), **(body or {})}
    response = httpx.post(f"{server.base}/chat/completions", json=request, timeout=120)
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return response.status_code, error


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
