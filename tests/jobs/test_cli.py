"""The command line as a user meets it: in a process of its own."""

import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

import jobs.ask
from favchat.config import ConfigError
from jobs.cli import app
from jobs.quickstart import SAMPLE


def favchat(*words: str, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "jobs.cli", *words], capture_output=True, text=True, cwd=cwd)


def test_help_lists_every_command():
    done = favchat("--help")
    assert done.returncode == 0
    for command in ("quickstart", "assets", "prepare", "annotate", "train", "export", "ask"):
        assert command in done.stdout


def test_help_imports_nothing_that_takes_long():
    code = "import sys; from typer.testing import CliRunner; from jobs.cli import app; "
    code += "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
    code += "print(sorted({'pydantic', 'ray', 'torch', 'cv2', 'pyarrow', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_wrong_setting_is_told_without_loading_ray_or_torch():
    code = "import sys, jobs.cli; from favchat.config import ConfigError\n"
    code += "try: jobs.commands.settings.settings_of('tiny', ['data.ouut=x'], False)\nexcept ConfigError: pass\n"
    code += "print(sorted({'ray', 'torch', 'cv2', 'pyarrow', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["prepare", "annotate", "train"])
def test_each_command_explains_itself(command):
    done = favchat(command, "--help")
    assert done.returncode == 0
    assert "CONFIG" in done.stdout
    assert "SECTION.KEY=VALUE" in done.stdout


def test_print_config_prints_what_will_be_used(tmp_path):
    done = favchat("train", "tiny", "seed=3", "--print-config", cwd=tmp_path)
    settings = yaml.safe_load(done.stdout)
    assert settings["seed"] == 3
    assert settings["model"]["text"]["config"]["hidden_size"] == 64
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "tiny", "training.stpes=3"], "training.stpes: no such setting; did you mean training.stages?"),
        (["train", "tiny"], "this command needs data.out=... and training.out=..."),
        (["prepare", "tiny", "data.out=x"], "this command needs data.source.path=..."),
        (["prepare", "tiny", "data.out=x", "data.source.path=nowhere"], "nowhere"),
        (["annotate", "tiny", "data.out=nowhere"], "favchat prepare"),
        (["train", "missing.yaml"], "missing.yaml: no such configuration file"),
        (["ask", "nowhere", str(SAMPLE / "clips" / "pexels_0.mp4"), "Who?"], "nowhere: no model here"),
        (["ask", "nowhere", "nothing.mp4", "Who?"], "nothing.mp4: no such file"),
    ],
)
def test_a_fault_is_one_message_and_status_2(words, message, tmp_path):
    done = favchat(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_is_no_option_but_a_file_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-x.mp4", "--verbose", "-d"):
        (tmp_path / name).touch()
    asked: list = []
    monkeypatch.setattr(jobs.ask, "run", lambda *words, **_: asked.append(words) or ["Yes"])
    run = CliRunner().invoke
    assert run(app, ["ask", "-x.mp4", "-d", "Who?", "--max-new-tokens", "5"]).stdout == "Yes\n"
    assert run(app, ["ask", "--", "-x.mp4", "Who?"]).stdout == "Yes\n"
    assert run(app, ["--verbose", "ask", "V", "Who?"]).stdout == "Yes\n"
    assert asked == [("./-x.mp4", "./-d", ["Who?"]), (None, "-x.mp4", ["Who?"]), (None, "V", ["Who?"])]
    done = run(app, ["ask", "-y.mp4", "Who?"])
    assert done.exit_code == 2 and "No such option: -y" in done.stderr


@pytest.mark.parametrize("name", ["12:30.mp4", "-x.mp4", "~/x.mp4"])
def test_ask_takes_a_file_by_its_name_alone(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=f"{tmp_path}/{name.removeprefix('~/')}: no such file"):
        jobs.ask.run("nowhere", name, ["Who?"])
    (tmp_path / name.removeprefix("~/")).touch()
    with pytest.raises(ConfigError, match="nowhere: no model here"):
        jobs.ask.run("nowhere", name, ["Who?"])
