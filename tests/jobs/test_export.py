"""`favchat export`; tests/training/test_export.py holds what lies in the directory."""

import torch
from typer.testing import CliRunner

from favchat.config import ConfigError
from favchat.hub.load import load
from jobs.cli import app


def test_it_says_what_it_wrote_and_refuses_what_it_cannot(tiny, tmp_path):
    model = tmp_path / "model"
    for part in tiny:
        part.save_pretrained(model)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["export", str(model), str(out), "--precision", "bf16"])
    assert done.exit_code == 0, done.output
    files = [file for file in out.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files) / 1e6
    assert done.stdout == f"exported {len(files)} files, {size:.1f} MB -> {out}\n"
    assert load(str(out))[0].dtype == torch.bfloat16

    again = CliRunner().invoke(app, ["export", str(model), str(out)])
    assert isinstance(again.exception, ConfigError)
    assert "something lies there already" in str(again.exception)
    missing = CliRunner().invoke(app, ["export", str(tmp_path / "nowhere"), str(tmp_path / "other")])
    assert isinstance(missing.exception, ConfigError)
    assert not (tmp_path / "other").exists()
