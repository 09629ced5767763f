"""The application in this process: its deployments called without Ray."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from fastapi.testclient import TestClient

from favchat.config import Config
from serve.api import Api
from serve.engine import Engine
from serve.engine_replica import EngineReplica


class LocalHandle:
    """A deployment's handle whose replica lives in this process."""

    app_name, deployment_name = "local", "part"

    def __init__(self, replica: Any) -> None:
        self.replica = replica

    def options(self, **_: Any) -> LocalHandle:
        return self

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.replica, name)
        if inspect.isasyncgenfunction(method):
            return type("Method", (), {"remote": lambda _, *given: LocalStream(method(*given))})()
        return type("Method", (), {"remote": staticmethod(method)})


class LocalStream:
    """What a streaming method gives."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __aiter__(self) -> Any:
        return self._stream

    def cancel(self) -> None:
        asyncio.get_running_loop().create_task(self._stream.aclose())


class LocalEngine(EngineReplica):
    """An engine's deployment around an engine that is there."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __del__(self) -> None:
        """Whoever made the engine closes it."""


def local_client(
    config: Config, media: Any, encoder: Any, engine: Any = None, further: Mapping[str, tuple[Any, ...]] | None = None
) -> TestClient:
    """A client of the API before these replicas, and those of further models."""
    others = {name: tuple(map(LocalHandle, parts)) for name, parts in (further or {}).items()}
    api = Api(config, *(LocalHandle(replica) for replica in (media, encoder, engine)), others)
    return TestClient(api.__serve_build_asgi_app__(), client=("127.0.0.1", 50000))
