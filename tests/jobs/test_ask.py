import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import jobs.ask
from favchat.config import ConfigError, ModelConfig
from favchat.data.corpus.parquet_files import parquet_files, read_table
from favchat.data.corpus.row_settings import corpus_specification
from favchat.data.corpus.schema import SHARDS
from favchat.hub.names import SHIPPED
from favchat.io.paths import path_of
from favchat.model.build import build
from favchat.training.batches.samples import CLIP_COLUMNS, read_clip
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
    assert jobs.ask.run(None, video, words, max_new_tokens=8) == jobs.ask.run(SHIPPED, video, words, max_new_tokens=8)


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


def test_a_video_without_a_face_is_answered_in_words(model, centerface):
    answers = jobs.ask.run(model, str(SAMPLE / "clips" / "noface_0.mp4"), ["Who?", "Is she smiling?"])
    assert answers == ["I see no face in this video."] * 2


def test_a_video_and_its_shard_are_the_same_pixels(corpus, centerface):
    """What `ask` sees of a file is what training and evaluation see of its row, to the bit."""
    row = next(
        row
        for file in parquet_files(path_of(str(corpus)) / SHARDS)
        for row in read_table(file, [*CLIP_COLUMNS, "video"]).to_pylist()
        if row["clip_id"] == "pexels_0"
    )
    specification = corpus_specification(str(corpus))
    asked, stored = specification.read(row["video"], specification.make_detector())[0], read_clip(row)
    assert np.array_equal(asked.frames, stored.frames)
    assert np.array_equal(asked.faces, stored.faces)
    assert np.array_equal(asked.timestamps, stored.timestamps)
    assert np.array_equal(asked.landmarks, stored.landmarks)
    assert np.array_equal(asked.visible, stored.visible)


def test_scores_need_a_model_that_was_taught_attributes(model, centerface):
    with pytest.raises(ConfigError, match="taught no attributes"):
        jobs.ask.scores(model, str(SAMPLE / "clips" / "pexels_0.mp4"))


def test_scores_are_told_by_family(tiny_preset, centerface, tmp_path):
    section = tiny_preset.model.model_dump()
    section["adapter"]["attributes"] = ["eyeglasses", "smile", "happy", "sadness"]
    for part in build(ModelConfig(**section)):
        part.save_pretrained(tmp_path)
    video = str(SAMPLE / "clips" / "pexels_0.mp4")
    report = jobs.ask.scores(str(tmp_path), video, window_s=1)
    found = [row for row in report.attributes if row.taught]
    assert {row.name for row in found} == {"eyeglasses", "smile", "happy", "sadness"}
    lines = jobs.ask.lines(report)
    assert lines[0] == "accessories:"
    assert lines[1].split()[:2] == ["eyeglasses", f"{found[0].score:.2f}"]
    assert "emotion:" in lines
    assert lines[-1].startswith("  2.00 to   2.50 s: ") and "sadness 0." in lines[-1]
    faceless = jobs.ask.scores(str(tmp_path), str(SAMPLE / "clips" / "noface_0.mp4"))
    assert jobs.ask.lines(faceless) == ["I see no face in this video."]
    with pytest.raises(ConfigError, match="shows 1 face"):
        jobs.ask.scores(str(tmp_path), video, track=1)
    told = CliRunner().invoke(app, ["ask", str(tmp_path), video, "--scores", "--window", "1", "--format", "csv"])
    assert told.stdout == report.to_csv()


def test_a_file_that_is_no_video_says_so(model, centerface, tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("hello")
    with pytest.raises(VideoError, match="notes.mp4"):
        jobs.ask.run(model, str(path), ["Who?"])


def test_a_folder_that_is_no_model_says_what_a_model_is(tmp_path):
    with pytest.raises(ConfigError, match="holds config.json and model.safetensors"):
        jobs.ask.run(str(tmp_path), str(SAMPLE / "clips" / "pexels_0.mp4"), ["Who?"])
