"""Resolves names of trained models without loading them, so that a wrong name fails before any work."""

from __future__ import annotations

from pathlib import Path

from favchat.backbones.names import look_up
from favchat.config import ConfigError, TrackingConfig
from favchat.io.files import expanded

SHIPPED = "asset:favchat-nano"
"""The trained model that comes with the package."""


def resolve_model(name: str, store: TrackingConfig | None = None, *, key: str | None = None) -> str:
    """The directory or hub name behind a model's name.

    Args:
        name: A directory that `save_pretrained` wrote, a hub name, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``
            for a registered model, or ``asset:favchat-nano`` for the one that comes with the package.
        store: Where models are registered; by default where MLflow's settings say.
        key: The setting that holds the name, for messages.

    Raises:
        ConfigError: There is no such registered model, no model in the directory, or none of that name on the hub.
        AssetError: A part of the package's own model cannot be fetched.
    """
    try:
        return _resolve_model(expanded(name), store)
    except ConfigError as error:
        if key is None:
            raise
        raise ConfigError(f"{key} = {error}") from error


def _resolve_model(name: str, store: TrackingConfig | None) -> str:
    if name.startswith("models:"):
        # MLflow takes a second to import.
        from favchat import tracking

        name = str(tracking.resolve_model(name, store))
    elif name.startswith("asset:"):
        if name != SHIPPED:
            raise ConfigError(f"{name}: the model that comes with the package is called {SHIPPED}")
        from favchat.hub import shipped_model

        name = str(shipped_model.path())
    if not (Path(name) / "config.json").is_file() and (
        Path(name).exists() or name.count("/") != 1 or name.startswith(("/", "."))
    ):
        raise ConfigError(
            f"{name}: no model here; a model directory (training.out/model) holds config.json and model.safetensors"
        )
    if Path(name).is_dir():
        return str(Path(name).absolute())  # training workers have working directories of their own
    try:
        look_up(name)
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{name}: no model directory here, and the model hub did not give it: {reason}") from error
    return name
