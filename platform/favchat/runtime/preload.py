"""Has what workers with a model import imported once for all of them, while a command starts."""

from __future__ import annotations

from favchat.config import RayConfig
from favchat.runtime import fork_server
from favchat.runtime.ray_address import address_of

MODEL_MODULES = ("favchat.hub.load",)
"""Import torch, transformers and the model's classes."""


def preload_model(config: RayConfig) -> None:
    """Start the fork server for the local Ray that this command will start; where it joins a cluster do nothing.

    Commands call it as soon as they know that they will need it: it imports beside them.
    """
    if address_of(config) is None:
        fork_server.start(*MODEL_MODULES)
