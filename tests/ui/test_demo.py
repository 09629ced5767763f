"""The command: its server, its ports, and one question through all of it."""

import copy
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import openai
import pytest
import torch
from ray import serve as ray_serve
from typer.testing import CliRunner

import jobs.demo
import serve.app
from favchat.config import Config, ConfigError, ServeConfig
from jobs.cli import app
from jobs.demo import SAMPLE_CLIPS, showing
from tests.ui.conftest import Reader, free_port
from ui.client import ApiClient
from ui.page import Settings, building

TOKENS = 16


@pytest.fixture
def model_folder(tiny, tmp_path):
    """The tiny model, made to speak in printable letters and never to end by itself."""
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    with torch.no_grad():
        torch.manual_seed(0)
        model.lm_head.weight.normal_(std=0.3)
        model.lm_head.weight[94:] *= 0.01
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return tmp_path


def test_a_question_passes_through_the_page_and_a_server_of_its_own(
    browser, ray_session, centerface, model_folder
) -> None:
    settings = ServeConfig(model=str(model_folder), port=free_port(), max_new_tokens=TOKENS, threads=1, name="tiny")
    said: list[str] = []
    options = {"clip": SAMPLE_CLIPS / "pyfeat_0.mp4", "port": free_port(), "browser": False, "say": said.append}
    try:
        with showing(Config(serve=settings), server=None, **options) as address:
            reader = Reader(browser, address)
            reader.page.locator(".fc-model-name", has_text="tiny").wait_for()
            reader.button("Ask").wait_for()  # with the clip that was named; its scores come later
            reader.page.locator(".fc-row.fc-lines polyline").nth(2).wait_for(state="attached")
            assert reader.page.locator(".fc-row.fc-lines polyline").count() == 3
            assert reader.page.locator(".fc-strip img").count() == 12
            reader.ask("Is the person smiling?")
            reader.page.locator('#fc-chat [data-testid="bot"]').wait_for()
            reader.button("Ask").wait_for()
            [answer] = reader.said("bot")
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{settings.port}/v1", api_key="none")
            [file] = client.files.list().data
            video = {"type": "video_url", "video_url": {"url": f"file:{file.id}"}}
            parts = [video, {"type": "text", "text": "Is the person smiling?"}]
            direct = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}])
            assert answer == direct.choices[0].message.content.strip() != ""
            reader.choose("no face")
            assert "face" in reader.alert()
            reader.page.context.close()
        assert str(model_folder) in said[0]
        assert httpx.get(f"http://127.0.0.1:{settings.port}/healthz").status_code == 404  # the application is gone
    finally:
        ray_serve.shutdown()


def test_the_page_and_the_server_start_beside_each_other(monkeypatch) -> None:
    both, ended = threading.Barrier(2), []

    @contextmanager
    def started(name):
        both.wait(10)  # for the other one: it breaks where one begins only when the other is up
        yield f"{name}'s address", lambda: ended.append("uploads")
        ended.append(name)

    monkeypatch.setattr(jobs.demo, "_page", lambda *_: started("page"))
    monkeypatch.setattr(serve.app, "serving", lambda _: started("server"))
    with showing(Config(), server=None, clip=None, port=free_port(), browser=False, say=print) as address:
        assert (address, ended) == ("page's address", [])
    assert ended == ["uploads", "server", "page"]


def test_nothing_of_the_page_is_imported_before_the_server_starts() -> None:
    code = "import sys, jobs.demo, serve.app; print(sorted({'gradio', 'openai', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_taken_port_is_refused_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"--port {port}: cannot listen there"),
            showing(Config(), server=None, clip=None, port=port, browser=False, say=print),
        ):
            pass


def test_a_server_that_is_away_is_named() -> None:
    server = f"http://127.0.0.1:{free_port()}"
    with (
        pytest.raises(ConfigError, match=f"--server {server}"),
        showing(Config(), server=server, clip=None, port=free_port(), browser=False, say=print),
    ):
        pass


def test_a_missing_clip_is_named(tmp_path) -> None:
    with (
        pytest.raises(ConfigError, match="--clip .*nowhere.mp4: no such file"),
        showing(Config(), server=None, clip=tmp_path / "nowhere.mp4", port=free_port(), browser=False, say=print),
    ):
        pass


def test_the_command_passes_its_settings_on(monkeypatch) -> None:
    passed: list = []
    monkeypatch.setattr(jobs.demo, "run", lambda config, **options: passed.append((config.serve.model, options)))
    assert CliRunner().invoke(app, ["demo", "serve.model=M", "--port", "7000", "--no-browser"]).exit_code == 0
    assert CliRunner().invoke(app, ["demo", "tiny", "serve.model=N", "--server", "http://h:1"]).exit_code == 0
    (first, options), (second, others) = passed
    assert (first, options["port"], options["browser"], options["server"]) == ("M", 7000, False, None)
    assert (second, others["port"], others["browser"], others["server"]) == ("N", 7860, True, "http://h:1")


def test_uploads_are_limited_to_what_the_server_takes() -> None:
    with building(ApiClient("http://127.0.0.1:9"), Settings({}, max_file_mb=1.5)) as page:
        assert page.options["max_file_size"] == 1_500_000


def test_the_model_card_stands_on_the_page() -> None:
    assert jobs.demo._card(None).lstrip().startswith("# FaVChat nano") and jobs.demo._card("models:/none") == ""
