"""The Ray cluster."""

from __future__ import annotations

from pydantic import Field

from favchat.config.section import Section


class RayConfig(Section):
    """How a Ray cluster is reached or started."""

    address: str | None = None
    """Address of a running cluster; by default RAY_ADDRESS, else a local one is started."""
    num_cpus: int | None = Field(default=None, ge=1)
    """CPUs of a local cluster; by default all."""
