"""Resolves names of backbones without loading them, so that a wrong name fails before any work."""

from __future__ import annotations

import difflib
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from favchat.backbones import assets
from favchat.config import BackboneConfig, ModelConfig
from favchat.errors import ConfigError
from favchat.runtime.ports import connect_error

FACE_TRUNKS = "asset:face-trunks"
"""The face pyramid with the weights that come with the package."""


def resolve_backbone(slot: BackboneConfig, key: str) -> str:
    """The directory or hub name behind ``pretrained``; an embedded default is fetched if it is missing.

    Args:
        slot: One that has ``pretrained``, other than the face trunks.
        key: The slot's setting, for messages.

    Raises:
        ConfigError: No asset has that name.
        AssetError: It cannot be fetched.
    """
    name = slot.pretrained or ""
    if not name.startswith("asset:"):
        return str(Path(name).absolute()) if Path(name).is_dir() else name
    known = [f"asset:{asset}" for asset in assets.ASSETS]
    if name not in known:
        nearest = difflib.get_close_matches(name, [*known, FACE_TRUNKS], n=1, cutoff=0.0)[0]
        raise ConfigError(f"{key}.pretrained: no asset is called {name}; did you mean {nearest}?")
    return str(assets.path(name.removeprefix("asset:")))


def hub_message(slot: BackboneConfig, key: str, error: Exception) -> str:
    """What to tell a user whose backbone cannot be loaded: which files are wanted and the ways to provide them.

    Args:
        slot: One that has ``pretrained``.
        key: The slot's setting.
        error: What transformers said.
    """
    name = slot.pretrained or ""
    if name.startswith("asset:") or Path(name).exists():
        return f"{key}.pretrained = {name}: cannot be loaded: {error}"
    files = "config.json, model.safetensors (or its shards and model.safetensors.index.json)"
    files += ", tokenizer.json, tokenizer_config.json" if key == "model.text" else ", preprocessor_config.json"
    return (
        f"{key}.pretrained = {name}: cannot be loaded. It is no directory here, and the model hub did not give it: "
        f"{str(error).splitlines()[0]}\n"
        f"  Wanted: {files}.\n"
        f"  Without a connection, do one of these:\n"
        f"  - on a machine that reaches the hub: hf download {name} --local-dir DIR; copy DIR here and set "
        f"{key}.pretrained=DIR\n"
        "  - copy that machine's cache (~/.cache/huggingface) here, set HF_HOME to it, and HF_HUB_OFFLINE=1\n"
        "  - set HF_ENDPOINT to the address of a mirror"
    )


def resolve_backbones(config: ModelConfig) -> ModelConfig:
    """Resolve the backbones of a model that is to be built, so that no worker waits for a package or fails.

    Of a hub name only ``config.json`` is looked for, in the cache and on the hub.

    Returns:
        The same section, whose directories do not depend on where a worker runs.

    Raises:
        ConfigError: As :func:`resolve_backbone`, or a hub is out of reach.
        AssetError: As :func:`resolve_backbone`.
    """
    slots: dict[str, BackboneConfig] = {}
    for key in ("text", "vision", "face"):
        slot: BackboneConfig = getattr(config, key)
        if slot.pretrained is not None and slot.pretrained != FACE_TRUNKS:
            place = resolve_backbone(slot, f"model.{key}")
            _check_reach(slot, place, f"model.{key}")
            if not slot.pretrained.startswith("asset:"):
                slots[key] = slot.model_copy(update={"pretrained": place})
    return config.model_copy(update=slots)


def _check_reach(slot: BackboneConfig, place: str, key: str) -> None:
    if Path(place).is_dir():
        return
    try:
        look_up(place)
    except OSError as error:
        raise ConfigError(hub_message(slot, key, error)) from error


def look_up(name: str) -> None:
    """Check that a model's ``config.json`` is in the hub's cache or on the hub, with a timeout of seconds.

    Raises:
        OSError: It is in neither.
    """
    # Imported here: it takes a second, and only hub names need it.
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return
        # The hub's client tries for a minute; behind a proxy it alone knows the way.
        if not constants.HF_HUB_OFFLINE and not getproxies():
            address = urlsplit(constants.ENDPOINT)
            fault = connect_error(address.hostname or "", address.port or (443 if address.scheme == "https" else 80))
            if fault:
                raise OSError(f"{constants.ENDPOINT} is out of reach: {fault}")
        hf_hub_download(name, "config.json")
    except HFValidationError as error:
        raise OSError(str(error)) from error
