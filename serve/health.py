"""Health as Kubernetes asks for it: whether the process lives, and whether it should get requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import ray
from ray.exceptions import RayError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

logger = logging.getLogger("ray.serve")
LIVE, READY = "/livez", "/readyz"
PROBES = (LIVE, READY)
"""Paths that are answered without a key."""
ALWAYS = (*PROBES, "/metrics")
"""Paths that are answered while the server ends."""
LOOK = 1.0
"""Seconds between two looks at the replicas; a quarter of it until they were up for the first time."""

Part = tuple[str, str]
"""Name of an application of Ray Serve and of a deployment in it."""


class Readiness:
    """Whether every part has a replica that is up, as Ray Serve's controller knows it.

    A replica is up when its constructor has returned, which warms it up.

    Args:
        parts: The parts that are needed now.
        draining: Whether the application ends.
    """

    def __init__(self, parts: Callable[[], Iterable[Part]], draining: Callable[[], bool]) -> None:
        self._parts, self._draining = parts, draining
        self._up: set[Part] | None = None
        self._was_ready = False

    async def watch(self) -> None:
        """Look at the replicas until cancelled."""
        while True:
            up = await asyncio.to_thread(running_parts)
            self._up = self._up if up is None else up
            self._was_ready = self._was_ready or not self.missing()
            await asyncio.sleep(LOOK if self._was_ready else LOOK / 4)

    def missing(self) -> list[str]:
        """The deployments without a replica that is up."""
        up = self._up or set()
        return sorted({name for app, name in self._parts() if (app, name) not in up})

    def state(self) -> str:
        """`ok`, or why no request should come: `draining`, `starting` or `restarting`."""
        if self._draining():
            return "draining"
        if self.missing():
            return "restarting" if self._was_ready else "starting"
        return "ok"


def running_parts() -> set[Part] | None:
    """The deployments with a replica that is up; None where Ray Serve's controller does not tell.

    `ray.serve.status`, which makes objects of the same answer, pickles classes for it: 55 ms a look, in which this
    process can do nothing else, in place of 1.
    """
    if not ray.is_initialized():  # asking would start one
        return None
    try:
        client = _get_global_client(raise_if_no_controller_running=False)
        applications = client.get_serve_details()["applications"] if client else {}
    except (RayError, RayServeException, TimeoutError) as error:
        # It is restarted by Ray; requests go on without it meanwhile.
        logger.warning("Ray Serve's controller does not answer: %s", type(error).__name__)
        return None
    return {
        (app, name)
        for app, found in applications.items()
        for name, deployment in found["deployments"].items()
        if any(replica["state"] == "RUNNING" for replica in deployment["replicas"])
    }
