"""The task for lmms-eval, without lmms-eval: its file names functions that are there, and they agree with it."""

import importlib.util
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/lmms_eval"


@pytest.fixture(scope="module")
def task():
    spec = importlib.util.spec_from_file_location("lmms_task", FOLDER / "task.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_names_functions_that_are_there(task):
    names = re.findall(r"!function task\.(\w+)", (FOLDER / "favchat_emotion.yaml").read_text())
    assert len(names) == 4
    assert all(callable(getattr(task, name)) for name in names)


def test_a_clip_goes_along_as_its_bytes(task, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"clip")
    doc = {"video": str(tmp_path / "a.mp4"), "question": "How?", "options": ["happy", "sad"], "answer": "sad"}
    clip, words = task.messages(doc)[0]["content"]
    assert clip == {"type": "video", "url": "data:video/mp4;base64,Y2xpcA=="}
    assert words["text"] == task.text(doc) == "How?"


@pytest.mark.parametrize(("answer", "war", "parsed"), [("Sad.", 1, 1), ("happy", 0, 1), ("happy or sad", 0, 0)])
def test_answers_are_read_strictly(task, answer, war, parsed):
    doc = {"options": ["happy", "sad"], "answer": "sad"}
    assert task.results(doc, [answer]) == {"war": war, "parsed": parsed}
