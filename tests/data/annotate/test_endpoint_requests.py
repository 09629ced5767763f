"""Requests to a server that misbehaves: every clip ends with a reply or with a reason."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from favchat.config import EndpointConfig
from favchat.data.annotate.endpoint_prompt import read_prompts
from favchat.data.annotate.endpoint_replies import read_reply
from favchat.data.annotate.endpoint_requests import EndpointCaller
from tests.data.annotate.conftest import MisbehavingServer, clip_row, make_clip

KEY = "sk-a-secret"


@pytest.fixture
def caller(server: MisbehavingServer, tmp_path: Path) -> Any:
    """Makes a caller of the server; its attempts follow each other at once."""

    def make(**settings: Any) -> EndpointCaller:
        defaults = {"base_url": server.url, "model": "m", "backoff_s": 0.01, "timeout_s": 0.5, "attempts": 3}
        config = EndpointConfig(**(defaults | settings))
        return EndpointCaller(config, read_prompts(None, 2, 3), tmp_path / "cache", SecretStr(KEY))

    return make


def fates(caller: EndpointCaller, *ids: str) -> dict[str, dict[str, Any]]:
    """What becomes of clips that are asked for at once."""

    async def run() -> list[dict[str, Any]]:
        return await asyncio.gather(*(caller.outcome(clip_row(make_clip(name, "happy", smile=1))) for name in ids))

    return {outcome["clip_id"]: outcome for outcome in asyncio.run(run())}


PASSING = ["429", "500", "503", "slow", "half a body", "a page", "no choices", "truncated", "cut off", "wrong schema"]


@pytest.mark.parametrize("manner", [*PASSING, "no yes"])
def test_a_fault_that_passes_costs_an_attempt(server, caller, manner):
    server.manners = {"a": [manner, "good"]}
    outcome = fates(caller(), "a")["a"]
    assert (outcome["stage"], server.requests["a"]) == (None, 2), outcome
    assert read_reply(outcome["reply"]).summaries == server.reply["summaries"]


@pytest.mark.parametrize(
    ("manner", "stage", "reason"),
    [
        ("429", "request", "status 429: .*told to say 429.*3 attempts"),
        ("500", "request", "status 500"),
        ("slow", "request", "[Tt]imed out"),
        ("half a body", "reply", "no chat completion: .{.id"),
        ("a page", "reply", "no chat completion: .<html>"),
        ("no choices", "reply", "no chat completion"),
        ("truncated", "reply", "Invalid JSON|no JSON object"),
        ("cut off", "reply", "max_tokens"),
        ("wrong schema", "reply", "summaries: Field required .and 2 more"),
        ("no yes", "reply", "begins with Yes or No"),
    ],
)
def test_a_fault_that_stays_is_a_reason(server, caller, manner, stage, reason):
    server.manners = {"bad": [manner]}
    found = fates(caller(concurrency=1), "fine", "bad")
    assert found["fine"]["stage"] is None
    bad = found["bad"]
    assert (bad["stage"], bad["reply"], server.requests["bad"]) == (stage, None, 3), bad
    assert re.search(reason, bad["reason"]), bad


def test_a_refused_request_is_not_sent_again(server, caller):
    server.manners = {"bad": ["400"]}
    outcome = fates(caller(), "bad")["bad"]
    assert (outcome["stage"], server.requests["bad"]) == ("request", 1)
    assert "refuses the request: status 400" in outcome["reason"]


@pytest.mark.parametrize(
    ("status", "says"),
    [("401", "refuses the key in OPENAI_API_KEY"), ("404", "no such model"), ("no quota", "quota is used up")],
)
def test_a_wrong_setting_stops_all_further_requests(server, caller, status, says):
    clips = [str(number) for number in range(20)]
    server.manners = dict.fromkeys(clips, [status])
    found = fates(caller(concurrency=2), *clips)
    assert {outcome["stage"] for outcome in found.values()} == {"settings"}
    assert all(says in outcome["reason"] for outcome in found.values())
    assert server.requests.total() <= 2


def test_a_server_that_is_not_there_is_a_wrong_setting(caller):
    found = fates(caller(base_url="http://127.0.0.1:9/v1", concurrency=1), "a", "b")
    assert {outcome["stage"] for outcome in found.values()} == {"settings"}
    assert "http://127.0.0.1:9/v1 does not answer" in found["a"]["reason"]


def test_a_reply_is_never_paid_for_twice(server, caller):
    first = fates(caller(), "a", "b")
    again = caller()
    assert fates(again, "a", "b") == first
    assert (server.requests.total(), again.sent, again.spent) == (2, 0, 0)
    fates(caller(model="another"), "a")
    fates(caller(frames=1), "a")
    fates(caller(parameters={"max_tokens": 7}), "a")
    assert server.requests["a"] == 4  # another model, other frames, other parameters: other requests


def test_a_reply_that_cannot_be_used_is_not_kept(server, caller, tmp_path):
    server.manners = {"a": ["wrong schema"]}
    assert fates(caller(attempts=1), "a")["a"]["stage"] == "reply"
    server.manners = {}
    assert fates(caller(), "a")["a"]["stage"] is None
    (file,) = (tmp_path / "cache").rglob("*.json")
    assert json.loads(file.read_text())["tokens"] == 100
    file.write_text("{")  # half a file of a full disk
    assert fates(caller(), "a")["a"]["stage"] is None
    assert server.requests["a"] == 3


@pytest.mark.parametrize("counted", [True, False])
def test_no_request_is_sent_beyond_the_limit_of_tokens(server, caller, counted):
    clips = [str(number) for number in range(8)]
    if not counted:  # then each of the request's pictures is taken for a thousand
        server.manners = dict.fromkeys(clips, ["no usage"])
    limit = 250 if counted else 2500
    found = fates(caller(token_limit=limit, concurrency=1, frames=1), *clips)
    stages = [outcome["stage"] for outcome in found.values()]
    assert (stages.count(None), stages.count("spent"), server.requests.total()) == (
        3 if counted else 2,
        len(clips) - server.requests.total(),
        3 if counted else 2,
    )
    spent = next(outcome for outcome in found.values() if outcome["stage"] == "spent")
    assert f"token_limit is {limit:,}" in spent["reason"]


def test_what_is_given_up_does_not_wait_for_its_turn(server, caller):
    begin = time.monotonic()
    found = fates(caller(token_limit=1, requests_per_minute=60, concurrency=1), *(str(number) for number in range(30)))
    assert [outcome["stage"] for outcome in found.values()].count("spent") == 29
    assert time.monotonic() - begin < 10  # and not 29 s


def test_many_requests_run_at_once_and_not_more_than_allowed(server, caller):
    server.seconds = 0.2
    fates(caller(concurrency=5, timeout_s=30), *(str(number) for number in range(15)))
    assert 2 <= server.most_busy <= 5  # a busy machine may not get them all under way in time


def test_the_rate_counts_repeated_requests(server, caller):
    server.manners = {"0": ["500", "good"]}
    begin = time.monotonic()
    fates(caller(requests_per_minute=600, backoff_s=0.001), *(str(number) for number in range(4)))
    assert server.requests.total() == 5
    assert time.monotonic() - begin >= 0.4  # the fifth request starts 0.4 s after the first


def test_what_is_sent(server, caller):
    fates(caller(frames=2, parameters={"temperature": 0.5}, reply_format="json_schema"), "a")
    (body,) = server.bodies
    system, user = body["messages"]
    assert server.keys == {f"Bearer {KEY}"}
    assert (body["model"], body["temperature"]) == ("m", 0.5)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["summaries", "questions"]
    text, *pictures = user["content"]
    assert "2 frames of the clip, taken at 0.0 s, 1.0 s." in text["text"]
    assert "Labelled as true: is smiling" in text["text"] and "happy throughout" in text["text"]
    assert "2 summaries" in text["text"] and "3 questions" in text["text"]
    assert [picture["type"] for picture in pictures] == ["image_url", "image_url"]
    assert "yes_no" in system["content"]
    assert KEY not in json.dumps(body)


def test_a_fence_around_the_json_is_taken_off(server, caller):
    server.manners = {"a": ["fenced"]}
    assert fates(caller(reply_format="text"), "a")["a"]["stage"] is None
    assert "response_format" not in server.bodies[0]
