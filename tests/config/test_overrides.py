"""A value on the command line is what was typed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from favchat.config import Config, apply_override, load, validate


def value(word: str, tmp_path: Any) -> Any:
    file = tmp_path / "config.yaml"
    file.write_text("training:\n  stages:\n    - {name: one, task: qa}\n")
    found: Any = load(file, [word])
    for part in word.partition("=")[0].split("."):
        if isinstance(found, list | dict):
            found = found[int(part) if isinstance(found, list) else part]
        else:
            found = getattr(found, part)
    return found


TYPED = ["0123", "on", "12:30:00", "12:30.mp4", "a #b", "a # b", "-x.mp4", "1e3", "true", "~x", "{a: 1}", "[", "a: b"]
TYPED += ["'a'", '"a"', "${b}", r"\${b}", "a=b", "2026-11-28", " a ", "0x10", "&a", "*a", "!!int 3", "Null", "é"]


@pytest.mark.parametrize("text", TYPED)
@pytest.mark.parametrize("key", ["data.source.path", "serve.name", "training.stages.0.init", "tracking.experiment"])
def test_text_stays_what_it_is(key: str, text: str, tmp_path: Any) -> None:
    assert value(f"{key}={text}", tmp_path) == text


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("seed=0123", 123),
        ("seed=1e3", 1000),
        ("data.frames.fps=1e1", 10.0),
        ("data.frames.fps=.5", 0.5),
        ("training.use_gpu=on", True),
        ("training.use_gpu=False", False),
        ("data.workers=null", None),
        ("data.out=null", None),
        ("evaluation.ways=null", None),
        ("evaluation.trained_on=[0123, on, 12:30, 'null', \"a #b\"]", ["0123", "on", "12:30", "null", "a #b"]),
        ("data.splits={train: 0.75, 012: 0.25}", {"train": 0.75, "012": 0.25}),
        (
            "annotate.endpoint.parameters={stop: on, n: 2, user: '7', seed: null, x: [1e-1, 01]}",
            {"stop": "on", "n": 2, "user": "7", "seed": None, "x": [0.1, "01"]},
        ),
        ("training.stages.0.deepspeed.zero_optimization.stage=2", 2),
    ],
)
def test_other_settings_get_their_types(word: str, expected: Any, tmp_path: Any) -> None:
    found = value(word, tmp_path)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("word", ["data.frames.fps=12:30:00", "seed=12:30", "seed=5 # the fifth", "seed=0x10"])
def test_what_is_no_number_is_no_number(word: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=rf"\(it is '{word.partition('=')[2]}'\)"):
        value(word, tmp_path)


@pytest.mark.parametrize(
    "key",
    ["data.out", "data.source.annotations", "training.out", "training.init", "training.stages.0.init", "serve.store"]
    + [
        "serve.model",
        "evaluation.model",
        "evaluation.out",
        "tune.out",
        "model.text.pretrained",
        "evaluation.judge.prompt",
    ]
    + ["annotate.endpoint.prompts", "annotate.endpoint.cache"],
)
def test_the_home_folder_in_every_path(key: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert value(f"{key}=~/a", tmp_path) == "/home/ann/a"
    assert value(f"{key}=a~/b", tmp_path) == "a~/b"


def test_the_home_folder_in_lists_and_in_a_store(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert value("evaluation.trained_on=[~/a, b]", tmp_path) == ["/home/ann/a", "b"]
    assert value("tracking.uri=sqlite:///~/runs.db", tmp_path) == "sqlite:////home/ann/runs.db"


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text != "null"))
def test_any_text_stays_what_it_is(text: str) -> None:
    settings = OmegaConf.create({})
    apply_override(settings, f"serve.name={text}")
    assert validate(settings, "test") == Config.model_validate({"serve": {"name": text}})
