"""What is counted, and that the dashboard asks for what there is."""

import asyncio
import json
import logging
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import serve
from serve.chat import Piece
from serve.errors import busy, error_response
from serve.metrics import Metrics, Writing
from serve.observe import Observer
from serve.request_record import begin, current


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: True)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"favchat_{name}", labels)


def test_an_answer_is_counted_as_it_is_written(metrics) -> None:
    record = begin("a")
    first, other = Writing(metrics, "nano"), Writing(metrics, "nano")
    assert value(metrics, "answers_running", model="nano") == 2
    pieces = [Piece("", 40, 0, cached_tokens=32), Piece("Yes", 40, 1), Piece("", 40, 2), Piece(".", 40, 4, "stop")]
    for piece in pieces:
        first.see(piece)
    first.close()
    assert value(metrics, "prompt_tokens_total", model="nano") == 40
    assert value(metrics, "cached_prompt_tokens_total", model="nano") == 32
    assert value(metrics, "generated_tokens_total", model="nano") == 4
    assert value(metrics, "first_token_seconds_count", model="nano") == 1
    assert value(metrics, "token_seconds_count", model="nano") == 2
    assert value(metrics, "batch_size_bucket", model="nano", le="1.0") == 0
    assert value(metrics, "batch_size_bucket", model="nano", le="2.0") == 3
    assert record.tokens == 44
    assert record.facts["completion_tokens"] == 4 and record.facts["first_token_ms"] >= 0
    other.close()  # given up before it began
    assert value(metrics, "answers_running", model="nano") == 0


async def answered(request: Request) -> Response:
    current().facts["model"] = "nano"
    if "busy" in request.url.path:
        return error_response(busy("Later."))
    if "broken" in request.url.path:
        raise KeyError("what the client said")
    return JSONResponse("yes")


def observed(metrics: Metrics, *requests: tuple[str, str], **headers: str) -> None:
    app = Starlette(routes=[Route("/v1/ask/{what}", answered), Route("/livez", answered)])
    app.add_middleware(Observer, metrics=metrics)

    async def ask() -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            for method, path in requests:
                await client.request(method, path, headers=headers)

    asyncio.run(ask())


def test_requests_are_counted_by_route_and_status(metrics) -> None:
    requests = [("GET", "/v1/ask/a"), ("GET", "/v1/ask/busy"), ("GET", "/v1/ask/broken"), ("GET", "/etc/secret")]
    observed(metrics, *requests, ("BREW", "/livez"))
    counted = {
        (labels["method"], labels["endpoint"], labels["status"])
        for metric in metrics.registry.collect()
        for name, labels, *_ in metric.samples
        if name == "favchat_requests_total"
    }
    assert counted == {
        ("GET", "/v1/ask/{what}", "200"),
        ("GET", "/v1/ask/{what}", "503"),
        ("GET", "/v1/ask/{what}", "500"),
        ("GET", "other", "404"),
        ("other", "/livez", "405"),
    }
    assert value(metrics, "refused_total", reason="server_busy") == 1
    assert value(metrics, "requests_under_way") == 0


def test_a_line_says_how_a_request_ended_and_not_what_was_in_it(metrics, caplog) -> None:
    with caplog.at_level(logging.INFO, "ray.serve"):
        observed(metrics, ("GET", "/v1/ask/what-the-client-said"), ("GET", "/livez"), **{"x-request-id": "mine"})
        observed(metrics, ("GET", "/v1/ask/broken"), **{"x-request-id": "x" * 300})
    good, bad = dict.fromkeys(caplog.records)  # probes that succeed are not worth a line
    assert (good.request_id, good.method, good.endpoint, good.status) == ("mine", "GET", "/v1/ask/{what}", 200)
    assert good.model == "nano" and good.ms >= 0
    assert (bad.status, bad.error, bad.levelname) == (500, "KeyError", "WARNING") and len(bad.request_id) == 32
    assert "client" not in "".join(str(vars(record)) for record in (good, bad))


def test_the_dashboard_asks_for_all_metrics_and_no_others(metrics) -> None:
    board = json.loads((Path(serve.__file__).parent / "grafana.json").read_text())
    asked = "\n".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    ours = {metric.name for metric in metrics.registry.collect() if metric.name.startswith("favchat")}
    named = {re.sub("_(total|bucket|sum|count)$", "", name) for name in re.findall(r"favchat_\w+", asked)}
    assert named == ours
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places) and len({panel["id"] for panel in board["panels"]}) == len(places)
