import pytest
import torch
from typer.testing import CliRunner

import jobs.ask
from favchat.config import ConfigError
from favchat.model_names import EMBEDDED
from favchat.video import VideoError
from jobs.cli import app
from jobs.quickstart import SAMPLE


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for part in tiny:
        part.save_pretrained(folder)
    return str(folder)


def test_any_video_is_answered_and_the_answer_is_repeatable(model, centerface, monkeypatch):
    taken: list[int] = []
    monkeypatch.setattr(jobs.ask, "available_threads", lambda: 1)
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    video = str(SAMPLE / "clips" / "pexels_0.mp4")
    answers = [jobs.ask.run(model, video, ["Is the person smiling?"], max_new_tokens=8) for _ in range(2)]
    assert answers[0] == answers[1]
    assert taken == [1, 1]  # threads are what the process may use


def test_without_a_model_the_packages_own_answers(stand_in, centerface):
    video = str(SAMPLE / "clips" / "pexels_0.mp4")
    words = ["Is the person smiling?"]
    assert jobs.ask.run(None, video, words, max_new_tokens=8) == jobs.ask.run(EMBEDDED, video, words, max_new_tokens=8)


def test_the_command_takes_the_model_first_or_not_at_all(monkeypatch):
    asked: list = []
    monkeypatch.setattr(jobs.ask, "run", lambda *words, **_: asked.append(words) or ["Yes"])
    for words in (["V", "Q"], ["M", "V", "Q"]):
        assert CliRunner().invoke(app, ["ask", *words]).stdout == "Yes\n"
    assert asked == [(None, "V", ["Q"]), ("M", "V", ["Q"])]
    for words in (["V"], ["M", "V", "Is", "it?"]):
        done = CliRunner().invoke(app, ["ask", *words])
        assert done.exit_code == 2
        assert "[MODEL] VIDEO QUESTION" in done.stderr


def test_a_video_without_a_face_says_so(model, centerface):
    with pytest.raises(VideoError, match="no face"):
        jobs.ask.run(model, str(SAMPLE / "clips" / "noface_0.mp4"), ["Who?"])


def test_a_file_that_is_no_video_says_so(model, centerface, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("hello")
    with pytest.raises(VideoError, match="notes.mp4"):
        jobs.ask.run(model, str(path), ["Who?"])


def test_a_folder_that_is_no_model_says_what_a_model_is(tmp_path):
    with pytest.raises(ConfigError, match="holds config.json and model.safetensors"):
        jobs.ask.run(str(tmp_path), str(SAMPLE / "clips" / "pexels_0.mp4"), ["Who?"])
