"""Registers what a training has made in MLflow's model registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from favchat import tracking
from favchat.config import Config, require
from favchat.data.corpus.digest import corpus_digest
from favchat.hub.fingerprint import model_fingerprint
from favchat.io.files import write_text_whole
from favchat.io.settings_record import kept_settings
from favchat.runtime.code_revision import git_revision
from favchat.training.stage_settings import SETTINGS


def register(config: Config, run: tracking.Run, tags: Mapping[str, str] | None = None) -> str | None:
    """Register the model in ``training.out``, unless an earlier call has done so.

    Args:
        config: ``training``, ``tracking.registered_model`` and ``data.out`` are used.
        run: The training's run.
        tags: Further tags of the version, such as an evaluation's metrics.

    Returns:
        The version's name, such as ``models:/favchat-nano/3``; None without ``tracking.registered_model``.
    """
    name = config.tracking.registered_model
    if name is None:
        return None
    out = Path(require(config, "training.out")[0]).absolute()
    record, model = out / "registered.json", out / "model"
    # If a stage was added or retrained with other settings since, the model at this path is another one.
    last_stage = out / "stages" / config.training.stages[-1].name
    wanted = {"name": name, "model": str(model), "stage": kept_settings(last_stage / SETTINGS)}
    done = json.loads(record.read_text()) if record.is_file() else {}
    if wanted.items() <= done.items():
        return str(done["version"])
    # Imports pandas and more, which only a model that is registered needs.
    from favchat.hub.mlflow_flavor import add_flavor

    add_flavor(model)
    metrics = json.loads((last_stage / "stage.json").read_text())["metrics"]
    all_tags = {metric: str(value) for metric, value in metrics.items() if metric != "step"} | dict(tags or {})
    all_tags |= {
        tracking.DATA: corpus_digest(config.data.out or ""),
        tracking.WEIGHTS: model_fingerprint(str(model)),
        "code": git_revision() or "unknown",
    }
    if "val_loss" in metrics:
        all_tags[tracking.METRIC] = "val_loss"
    card = (model / "README.md").read_text(encoding="utf-8")
    # Without its front matter, which is for a model hub.
    about = card.split("---", 2)[-1].strip() if card.startswith("---") else card
    version = run.register_model(model, name, tags=all_tags, description=about)
    write_text_whole(record, json.dumps({**wanted, "version": version}, indent=2))
    return version
