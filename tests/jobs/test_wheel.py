import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jobs.wheel
from jobs.wheel import PACKAGES, build_wheel

ROOT = Path(__file__).parent.parent.parent


def test_every_package_of_the_distribution_is_shipped():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(PACKAGES) == sorted(Path(package).name for package in packages)


@pytest.mark.slow
def test_pip_installs_the_wheel_without_anything_else(tmp_path):
    wheel = build_wheel(tmp_path)
    target = tmp_path / "target"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--target", target, wheel]
    subprocess.run(install, check=True)
    assert {path.name for path in target.iterdir() if path.suffix != ".dist-info"} == {*PACKAGES, "bin"}
    code = "import favchat; from jobs.commands.settings import CONFIGS\n"
    code += "print(favchat.__file__); print(len(list(CONFIGS.iterdir())))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(target)}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    place, configs = done.stdout.split()
    assert Path(place).is_relative_to(target)
    assert int(configs) >= 3
    assert (target / "favchat" / "weights" / "face_trunks.safetensors").stat().st_size > 1e6


def test_the_name_changes_with_the_contents_alone(tmp_path, monkeypatch):
    package = tmp_path / "jobs"
    shutil.copytree(ROOT / "jobs", package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(jobs.wheel, "PACKAGES", ("jobs",))
    monkeypatch.setattr(jobs.wheel.importlib.util, "find_spec", lambda name: FakeSpec(str(package / "__init__.py")))
    first = build_wheel(tmp_path)
    assert build_wheel(tmp_path) == first
    (package / "new.py").write_text("x = 1\n")
    assert build_wheel(tmp_path) != first


class FakeSpec:
    def __init__(self, origin):
        self.origin = origin
