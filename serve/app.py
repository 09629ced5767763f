"""Build the application, and run it."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ray import serve as ray_serve
from ray.serve import Application

from favchat import cluster
from favchat.config import Config, ServeConfig, load, require
from serve.api import Api
from serve.encoder import EncoderReplica
from serve.engine import EngineReplica
from serve.media import MediaReplica

APP = "favchat"
CONFIGS = Path(__file__).parent.parent / "jobs" / "configs"


class Arguments(BaseModel):
    """Arguments of :func:`build_app` in a Serve YAML file."""

    config: str
    """A YAML file, or the name of a preset: tiny, nano."""
    overrides: list[str] = []
    """Settings that override the file's, such as ``serve.model=outputs/run/model``."""


def build_app(arguments: Arguments) -> Application:
    """The application of a Serve YAML file, see ``serve/deploy.yaml``.

    Raises:
        ConfigError: A setting cannot be used, or ``serve.model`` is missing.
    """
    preset = CONFIGS / f"{arguments.config}.yaml"
    return application(with_store(load(preset if preset.is_file() else arguments.config, arguments.overrides)))


def application(config: Config) -> Application:
    """The three deployments and the API before them; ``serve.model`` and ``serve.store`` must be set.

    Raises:
        ConfigError: One of them is missing.
    """
    require(config, "serve.model", "serve.store")
    serve = config.serve
    media = _deployment("media", MediaReplica, serve, serve.media_replicas, ongoing=2)
    encoder = _deployment(
        "encoder", EncoderReplica, serve, serve.encoder_replicas, ongoing=2 * serve.encoder_batch, gpu=0.25
    )
    engine = _deployment(
        "engine", EngineReplica, serve, serve.engine_replicas, ongoing=serve.max_ongoing_requests, gpu=0.75
    )
    # The queues before the three deployments are the ones that fill, where the API can answer in OpenAI's words.
    everything = serve.engine_replicas * serve.max_ongoing_requests + 3 * serve.max_queued_requests
    api = _deployment("api", ray_serve.ingress()(Api), serve, 1, ongoing=2 * everything)
    return api.bind(config, media.bind(config), encoder.bind(config), engine.bind(config))


def run(config: Config, say: Callable[[str], None] = print, *, stop: threading.Event | None = None) -> None:
    """Serve until interrupted.

    Args:
        config: The whole configuration.
        say: Gets the address and an example once the API answers.
        stop: Ends the serving when set; by default Ctrl-C does.

    Raises:
        ConfigError: There is no such model.
    """
    require(config, "serve.model")
    cluster.start(config.ray)
    stop = stop or _on_signals()
    temporary = config.serve.store is None
    config = with_store(config)
    try:
        deploy(config)
        say(_welcome(config))
        stop.wait()
    finally:
        ray_serve.shutdown()
        if temporary:
            shutil.rmtree(config.serve.store or "", ignore_errors=True)
    say("stopped")


def deploy(config: Config) -> str:
    """Start the application on the running Ray cluster and wait until it answers: its address."""
    ray_serve.start(http_options={"host": config.serve.host, "port": config.serve.port})
    ray_serve.run(application(config), name=APP)
    return address(config)


def address(config: Config) -> str:
    """Where a client on this machine reaches the API, as ``base_url`` of OpenAI's clients."""
    host = "127.0.0.1" if config.serve.host in ("0.0.0.0", "::") else config.serve.host  # noqa: S104
    return f"http://{host}:{config.serve.port}/v1"


def with_store(config: Config) -> Config:
    """The configuration with ``serve.store`` set, to a new temporary folder where it was not."""
    store = config.serve.store or tempfile.mkdtemp(prefix="favchat-serve-")
    return config.model_copy(update={"serve": config.serve.model_copy(update={"store": str(Path(store).resolve())})})


def _deployment(name: str, kind: type, serve: ServeConfig, replicas: int, *, ongoing: int, gpu: float = 0.0) -> Any:
    return ray_serve.deployment(
        kind,
        name=name,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": serve.cpus_per_replica, "num_gpus": gpu if serve.use_gpu else 0},
        max_ongoing_requests=ongoing,
        max_queued_requests=serve.max_queued_requests,
    )


def _on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _welcome(config: Config) -> str:
    base, question = address(config), {"type": "text", "text": "Is the person smiling?"}
    video = {"type": "video_url", "video_url": {"url": "FILE"}}
    body = json.dumps({"model": config.serve.name, "messages": [{"role": "user", "content": [video, question]}]})
    return (
        f"serving {config.serve.model} as '{config.serve.name}' at {base} (Ctrl-C stops)\n"
        "ask it about a video:\n"
        f"  FILE=$(curl -s {base}/files -F file=@VIDEO.mp4 | grep -o 'file-[0-9a-f]*')\n"
        f"  curl -s {base}/chat/completions -H 'Content-Type: application/json' \\\n"
        f"    -d '{body.replace('FILE', chr(39) + '$FILE' + chr(39))}'"
    )
