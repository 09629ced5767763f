import pytest

import jobs.ask
from favchat.config import ConfigError
from favchat.video import VideoError
from jobs.quickstart import SAMPLE


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for part in tiny:
        part.save_pretrained(folder)
    return str(folder)


def test_any_video_is_answered_and_the_answer_is_repeatable(model, centerface):
    video = str(SAMPLE / "clips" / "pexels_0.mp4")
    answers = [jobs.ask.run(model, video, ["Is the person smiling?"], max_new_tokens=8) for _ in range(2)]
    assert answers[0] == answers[1]


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
