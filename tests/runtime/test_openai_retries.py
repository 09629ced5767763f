"""What errors of a server mean for the requests that are left."""

import re

import httpx
import openai
import pytest

from favchat.config import ServerConfig
from favchat.runtime.openai_retries import is_refusal, meaning_of, retry_wait, said

SERVER = ServerConfig(base_url="http://127.0.0.1:1/v1", model="m", api_key_env="KEY")
REQUEST = httpx.Request("POST", "http://127.0.0.1:1/v1/chat/completions")


def error(kind: type[openai.APIStatusError], status: int, code: str | None = None, **headers: str) -> openai.APIError:
    response = httpx.Response(
        status, headers={name.replace("_", "-"): value for name, value in headers.items()}, request=REQUEST
    )
    return kind("it says why", response=response, body={"code": code})


@pytest.mark.parametrize(
    ("failure", "fault", "refused"),
    [
        (error(openai.AuthenticationError, 401), "refuses the key in KEY", True),
        (error(openai.PermissionDeniedError, 403), "refuses the key in KEY", True),
        (error(openai.NotFoundError, 404), r"knows no such model \(m\)", True),
        (error(openai.RateLimitError, 429, "insufficient_quota"), "the quota is used up", False),
        (error(openai.RateLimitError, 429), None, False),
        (error(openai.InternalServerError, 503), None, False),
        (error(openai.ConflictError, 409), None, False),
        (error(openai.BadRequestError, 400), None, True),
        (openai.APIConnectionError(request=REQUEST), None, False),
    ],
)
def test_errors_that_end_all_requests_one_or_none(failure, fault, refused):
    found = meaning_of(failure, SERVER, "evaluation.judge")
    assert (found is None) == (fault is None)
    if fault is not None:
        assert found.startswith("evaluation.judge: http://127.0.0.1:1/v1 ")
        assert re.search(fault, found)
    assert is_refusal(failure) == refused


def test_what_was_said_has_the_status_and_an_end():
    assert said(error(openai.BadRequestError, 400)) == "status 400: it says why"
    assert said(ValueError()) == "ValueError"
    assert len(said(ValueError("x" * 1000))) == 300


def test_waits_double_up_to_a_bound_unless_the_server_asks_for_another():
    passing = error(openai.InternalServerError, 503)
    waits = [retry_wait(attempt, passing, first=1, longest=6) for attempt in range(1, 6)]
    for wait, most in zip(waits, (1, 2, 4, 6, 6), strict=True):
        assert most / 2 <= wait <= most
    assert retry_wait(1, error(openai.RateLimitError, 429, retry_after="3"), first=1, longest=6) == 3
    assert retry_wait(1, error(openai.RateLimitError, 429, retry_after="99"), first=1, longest=6) == 6
    assert retry_wait(1, error(openai.RateLimitError, 429, retry_after="Tue, 1 Jan 2030"), first=1, longest=6) <= 1
