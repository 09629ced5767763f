from pathlib import Path

import pytest
import yaml

from favchat.config import ConfigError
from jobs.submit import Options, run
from jobs.submitted_files import pack, refuse_relative


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_only_existing_yaml_files_travel(tmp_path):
    Path("a").mkdir()
    Path("a/one.yaml").write_text("seed: 1\n")
    Path("notes.txt").write_text("hello\n")
    folder = tmp_path / "files"
    folder.mkdir()
    words = pack(["favchat", "train", "a/one.yaml", "notes.txt", "training.init=two.yaml", "three.yaml"], folder)
    python = ["python", "-m", "jobs.cli", "train"]
    assert words == [*python, "one.yaml", "notes.txt", "training.init=two.yaml", "three.yaml"]
    assert [path.name for path in folder.iterdir()] == ["one.yaml"]
    assert pack(["python", "x.py"], folder) == ["python", "x.py"]


def test_two_files_of_one_name_are_refused(tmp_path):
    for name, text in (("a", "seed: 1\n"), ("b", "seed: 2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(text)
    folder = tmp_path / "files"
    folder.mkdir()
    with pytest.raises(ConfigError, match="rename one of them"):
        pack(["diff", str(tmp_path / "a" / "x.yaml"), str(tmp_path / "b" / "x.yaml")], folder)


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ("train tiny data.out=corpus training.out=./run", ["data.out = corpus", "training.out = ./run"]),
        ("prepare tiny data.out=/c data.source.path=videos", ["data.source.path = videos"]),
        ("train tiny data.out=/c training.out=/r training.init=run/model", ["training.init = run/model"]),
        ("train tiny data.out=/c training.out=/r training.stages.0.init=../m", ["training.stages.0.init = ../m"]),
        ("evaluate tiny data.out=s3://b/c evaluation.out=e evaluation.model=a/b", ["evaluation.out = e"]),
        ("train mine.yaml data.out=/c", ["training.out = runs/one"]),
        ("train tiny data.out=/c training.out=/r tracking.uri=sqlite:///runs.db", ["tracking.uri = sqlite:///runs.db"]),
        ("ask asset:favchat-nano clip.mp4", ["clip.mp4"]),
        ("quickstart", ["pipeline.out, by default outputs/quickstart"]),
        ("prepare tiny data.out=/c data.sources=[{kind: folder, path: v}]", ["data.sources.0.path = v"]),
    ],
)
def test_what_would_lie_on_this_machine_alone_is_refused(words, faults):
    Path("clip.mp4").touch()
    Path("run/model").mkdir(parents=True)
    Path("mine.yaml").write_text(yaml.safe_dump({"training": {"out": "runs/one"}}))
    first, _, last = words.partition(" data.sources=")
    command = ["favchat", *first.split(), *([f"data.sources={last}"] if last else [])]
    with pytest.raises(ConfigError, match="relative paths cannot be submitted") as refused:
        refuse_relative(command)
    assert str(refused.value).splitlines()[1:] == [f"  {fault}" for fault in faults]


@pytest.mark.parametrize(
    "words",
    [
        "train tiny data.out=/c training.out=/r training.init=org/model tracking.uri=sqlite:////r/runs.db",
        "train tiny data.out=s3://bucket/c training.out=/r training.init=models:/faces@champion",
        "evaluate tiny data.out=/c evaluation.out=/e evaluation.model=asset:favchat-nano",
        "train tiny --print-config",
        "ask asset:favchat-nano /videos/clip.mp4",
        "assets",
    ],
)
def test_what_the_cluster_sees_is_not(words):
    refuse_relative(["favchat", *words.split()])
    refuse_relative(["python", "train.py", "data"])


def test_a_dry_run_names_all_that_would_go_and_no_value(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    Path("mine.yaml").write_text("seed: 1\n")
    said: list[str] = []
    options = Options(
        dry_run=True, name="night", env=["TOKEN=quiet"], forward=["s3"], num_gpus=1, metadata=["project=faces"]
    )
    words = ["favchat", "train", "mine.yaml", "data.out=/c", "training.out=/r"]
    assert run(words, options, said.append) == 0
    text = said[0]
    assert "entrypoint: python -m jobs.cli train mine.yaml data.out=/c training.out=/r" in text
    assert "file: mine.yaml <- mine.yaml" in text
    assert "variable: TOKEN" in text and "variable: AWS_SECRET_ACCESS_KEY" in text
    assert "quiet" not in text and "hidden" not in text
    assert "num_gpus: 1" in text and "metadata: project=faces" in text and "metadata: name=night" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(env=["NOT_THERE"]), "--env NOT_THERE: there is no such variable here"),
        (Options(env=["=x"]), "--env : write KEY=VALUE"),
        (Options(forward=["gcs"]), "--forward gcs: the groups are mlflow, s3, hub"),
        (Options(name="a b"), "--name a b: up to 63 letters"),
        (Options(metadata=["x"]), "--metadata x: write KEY=VALUE"),
        (Options(runtime_env=Path("list.yaml")), "holds no mapping"),
        (Options(runtime_env=Path("numbers.yaml")), "put numbers in quotes"),
        (Options(runtime_env=Path("gone.yaml")), "gone.yaml"),
    ],
)
def test_options_that_cannot_be_used_are_named(options, message):
    Path("list.yaml").write_text("[1]\n")
    Path("numbers.yaml").write_text("env_vars: {A: 1}\n")
    with pytest.raises((ConfigError, OSError), match=message):
        run(["python", "x.py"], options)
