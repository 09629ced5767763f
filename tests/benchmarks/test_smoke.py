"""That benchmarks still fit the package; `make bench-smoke` runs all of them."""

import sys
from importlib import import_module

import pytest

from benchmarks.smoke import BENCHMARKS, HERE
from jobs.quickstart import SAMPLE


def test_every_benchmark_is_run():
    assert set(BENCHMARKS) == {file.stem for file in HERE.glob("*.py")} - {"smoke"}


@pytest.mark.parametrize("name", ["annotate", "decode", "long_videos"])
def test_benchmarks_of_seconds_run(name, monkeypatch, tmp_path, capsys):
    words = [word.format(clips=SAMPLE / "clips", out=tmp_path) for word in BENCHMARKS[name]]
    monkeypatch.setattr(sys, "argv", [name, *words])
    import_module(f"benchmarks.{name}").main()
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) >= 3 and len({line.count("|") for line in table}) == 1
