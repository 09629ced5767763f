import json
import subprocess
import sys

import pytest

from favchat.errors import ConfigError
from favchat.hub.saved_settings import saved_clip_settings, saved_config
from favchat.model import FaVChatProcessor
from favchat.video import ClipSpecification


@pytest.fixture
def saved(tiny, tmp_path):
    """The directory of a processor whose clips are not the default ones."""
    tiny[1].save_pretrained(tmp_path)
    processor = FaVChatProcessor.from_pretrained(tmp_path)
    processor.clip_specification, processor.num_frames = ClipSpecification(fps=3, face_size=96), 5
    processor.save_pretrained(tmp_path)
    return tmp_path


def test_the_settings_of_clips_are_those_of_the_processor(saved):
    assert saved_clip_settings(str(saved)) == (ClipSpecification(fps=3, face_size=96), 5)


def test_a_directory_of_0_1_is_read_as_the_processor_reads_it(saved):
    settings = json.loads((saved / "processor_config.json").read_text())
    settings |= settings.pop("video_processor")  # they lay side by side
    del settings["clip"]
    (saved / "processor_config.json").write_text(json.dumps(settings))
    processor = FaVChatProcessor.from_pretrained(saved)
    assert saved_clip_settings(str(saved)) == (processor.clip_specification, processor.num_frames)


def test_a_setting_of_another_version_is_named(saved):
    settings = json.loads((saved / "processor_config.json").read_text())
    settings["video_processor"]["clip"]["zoom"] = 2
    (saved / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="'zoom' is unknown"):
        saved_clip_settings(str(saved))


def test_a_model_on_the_hub_is_read_from_its_cache(tmp_path, monkeypatch):
    cached = tmp_path / "models--someone--on-the-hub"
    for name, content in {"refs/main": "abc", "snapshots/abc/config.json": '{"model_type": "favchat"}'}.items():
        (cached / name).parent.mkdir(parents=True)
        (cached / name).write_text(content)
    code = "from favchat.hub.saved_settings import saved_config; print(saved_config('someone/on-the-hub'))"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)  # read when huggingface_hub is imported
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'model_type': 'favchat'}"


def test_what_is_not_there_is_no_model(tmp_path):
    with pytest.raises(OSError, match="config.json"):
        saved_config(str(tmp_path))
