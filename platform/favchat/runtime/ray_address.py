"""Which Ray cluster a command will use, told without importing Ray."""

from __future__ import annotations

import os

from favchat.config import RayConfig


def address_of(config: RayConfig) -> str | None:
    """The address of the cluster that a command will connect to; None: it starts a local one."""
    address = config.address or os.environ.get("RAY_ADDRESS")
    return None if address == "local" else address or None
