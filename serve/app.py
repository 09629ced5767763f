"""Build the application, and run it."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve import Application
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import EncodingType, LoggingConfig

from favchat.config import Config, ConfigError, ServeConfig, load, require
from favchat.hub.names import SHIPPED, resolve_model
from favchat.hub.saved_settings import saved_config
from favchat.runtime import ray_cluster
from favchat.runtime.placement import Demand
from favchat.runtime.ports import is_loopback, listen_error
from favchat.runtime.ray_address import address_of
from serve.api import Api
from serve.body_limit import BODIES
from serve.encoder_replica import EncoderReplica
from serve.engine_replica import EngineReplica
from serve.keys import KeyRing
from serve.media import MediaReplica
from serve.reload import ModelApplications, Reloader
from serve.served_model import configs_of, deployment_name

APP = "favchat"
HEALTH_PERIOD = 2.0
"""Seconds between two looks of Ray Serve at a replica: so late it learns at most that one died."""
LOOKING_PATIENCE = 10.0
"""Seconds that a look for newer models gets to come to its end when the server ends."""
ENDING = (signal.SIGINT, signal.SIGTERM)
CONFIGS = Path(__file__).parent.parent / "jobs" / "configs"


class Arguments(BaseModel):
    """Arguments of :func:`build_app` in a Serve YAML file."""

    model_config = ConfigDict(extra="forbid")

    config: str
    """A YAML file, or the name of a preset: tiny, nano, small, paper, 2b, 8b; a file goes before a preset, as on
    the command line."""
    overrides: list[str] = []
    """Settings that override the file's, such as ``serve.model=outputs/run/model``."""


def build_app(args: dict[str, Any]) -> Application:
    """The application of a Serve YAML file, see ``serve/deploy.yaml``.

    Args:
        args: The file's ``args``, those of :class:`Arguments`.

    Raises:
        ConfigError: A setting cannot be used.
        AssetError: A part of the package's own model cannot be fetched.
        ValueError: There are other arguments.
    """
    arguments = Arguments.model_validate(args)
    config = load(arguments.config, arguments.overrides, presets=CONFIGS)
    # Where Ray Serve listens stands in the file, not here: without keys the application itself turns others away.
    refuse_open_door(config.serve)
    return application(resolve_config(config))


def application(config: Config) -> Application:
    """The three deployments and the API before them; ``serve.model`` and ``serve.store`` must be set.

    Raises:
        ConfigError: One of them is missing.
    """
    require(config, "serve.model", "serve.store")
    first, *further = [bound(one, config) for one in configs_of(config)]
    return front(config, first, further)


def front(config: Config, first: Sequence[Any], further: Sequence[Sequence[Any]]) -> Application:
    """The API before models that run, or are to run with it.

    Args:
        config: The whole configuration.
        first: Media, encoder and engine of ``serve.model``, as deployments or handles.
        further: Of each of ``serve.models`` the same.
    """
    serve = config.serve
    # The queues before the three deployments are the ones that fill: there the API can answer in OpenAI's words, while
    # what waits for the API itself is refused by Ray Serve's proxy in plain text.
    everything = serve.engine_replicas * serve.max_ongoing_requests + 3 * serve.max_queued_requests
    everything *= 1 + len(further)
    # Beside those, bodies on their way take places there, which BodyLimit counts.
    ongoing = 2 * everything + BODIES
    api = _deployment("api", ray_serve.ingress()(Api), serve, 1, ongoing=ongoing, queued=2 * everything)
    return api.bind(config, *first, dict(zip(serve.models, map(tuple, further), strict=True)))


def bound(config: Config, first: Config) -> tuple[Application, Application, Application]:
    """The media, encoder and engine deployments of a model.

    Args:
        config: The model's configuration, see :func:`serve.served_model.configs_of`.
        first: That of the first model, whose deployments have the shortest names.
    """
    serve = config.serve
    kinds = (
        ("media", MediaReplica, serve.media_replicas, 8, 0.0),
        ("encoder", EncoderReplica, serve.encoder_replicas, 2 * serve.encoder_batch, 0.25),
        ("engine", EngineReplica, serve.engine_replicas, serve.max_ongoing_requests, 0.75),
    )
    media, encoder, engine = (
        _deployment(deployment_name(name, config, first), kind, serve, replicas, ongoing=ongoing, gpu=gpu).bind(config)
        for name, kind, replicas, ongoing, gpu in kinds
    )
    return media, encoder, engine


def run(config: Config, say: Callable[[str], None] = print) -> None:
    """Serve until Ctrl-C or a signal to end.

    Args:
        config: The whole configuration.
        say: Gets the address and an example once the API answers.

    Raises:
        ConfigError: There is no such model, or the port is taken.
    """
    try:
        with serving(config, say) as base:
            # Only now: starting Ray puts handlers of its own there, which abort the process.
            for number in ENDING:
                signal.signal(number, _end_once)
            say(_welcome(config, base))
            threading.Event().wait()
    except KeyboardInterrupt:
        say("stopped")


def _end_once(number: int, frame: Any) -> None:
    """End; whoever sends a signal again, or the other one, as supervisors do, does not break off what the first began.

    What it began comes to an end: it waits for nothing without a limit.
    """
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def serving(config: Config, say: Callable[[str], None] = lambda line: None) -> Iterator[str]:
    """Serve as long as the context lasts, on the cluster of the ``ray`` section: the address, see :func:`deploy`.

    At the end new requests are answered with 503, and those under way get ``serve.drain_timeout``. Then a local cluster
    that was started here ends with all in it; of another one the application alone is removed.

    Args:
        config: The whole configuration.
        say: Gets a line for each model that is taken up later, where ``serve.reload_seconds`` is set.

    Raises:
        ConfigError: There is no such model, the port is taken, the network may ask and no key is needed, or the
            cluster can never place the replicas.
        ConnectionError: Ray cannot be reached or started.
    """
    refuse_open_door(config.serve)
    stored = resolve_config(config)
    running = address_of(config.ray) is not None or ray.is_initialized()
    try:
        if not running:
            _refuse_port(config.serve, listen_error(config.serve.host, config.serve.port))
        ray_cluster.start(config.ray, demands=demands(config.serve))
        if running:
            _check_cluster_port(config.serve)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        try:
            with deployed(config, stored, say) as base:
                yield base
        finally:
            if not running:
                # Not the application first: for the seconds that this takes, Ray would answer 404.
                ray.shutdown()
            else:
                # The application alone: others may be served by the same cluster.
                ray_serve.delete(APP)
    finally:
        if config.serve.store is None:
            shutil.rmtree(stored.serve.store or "", ignore_errors=True)


def deploy(config: Config) -> str:
    """Start the application on the running Ray cluster and wait until it answers: its address."""
    ray_serve.start(http_options={"host": config.serve.host, "port": config.serve.port})
    ray_serve.run(application(config), name=APP)
    return address(config)


@contextmanager
def deployed(config: Config, stored: Config, say: Callable[[str], None]) -> Iterator[str]:
    """Deploy on the running Ray cluster, and drain at the end: the address.

    Args:
        config: The settings as they were given.
        stored: What :func:`resolve_config` made of them.
        say: Gets a line for each model that is taken up later.
    """
    if config.serve.reload_seconds is None:
        base = deploy(stored)
        try:
            yield base
        finally:
            drain(config.serve.drain_timeout)
        return
    models, ending = ModelApplications(lambda one: bound(one, stored)), threading.Event()
    try:
        ray_serve.start(http_options={"host": config.serve.host, "port": config.serve.port})
        first, *further = [models.start(one) for one in configs_of(stored)]
        ray_serve.run(front(stored, first, further), name=APP)
        reloader = Reloader(config, stored, resolve=resolve_config, applications=models, take_up=_take_up, say=say)
        looking = threading.Thread(target=_look, args=(reloader, ending, config.serve), daemon=True)
        looking.start()
        try:
            yield address(stored)
        finally:
            ending.set()
            drain(config.serve.drain_timeout)
            # Not for ever: it may be waiting for a cluster that answers nobody any more.
            looking.join(LOOKING_PATIENCE)
    finally:
        models.end()


def _look(reloader: Reloader, ending: threading.Event, serve: ServeConfig) -> None:
    while not ending.wait(serve.reload_seconds):
        reloader.look(ending, serve.drain_timeout)


def _take_up(config: Config, handles: list[DeploymentHandle]) -> None:
    ray_serve.get_app_handle(APP).take_up.remote(config, *handles).result(timeout_s=60)


def drain(seconds: float) -> None:
    """Let the application answer 503 from now on, and wait at most so long for the requests under way."""

    def wait() -> None:
        ray_serve.get_app_handle(APP).drain.remote(seconds).result(timeout_s=seconds + 5)

    try:
        # In a thread: the caller's may run an event loop, in which Ray Serve refuses to wait.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(wait).result()
    except (RayServeException, RayError, TimeoutError) as error:
        logging.getLogger(__name__).warning("the application ends without having been drained: %s", error)


def address(config: Config) -> str:
    """Where a client on this machine reaches the API, as ``base_url`` of OpenAI's clients."""
    host = "127.0.0.1" if config.serve.host in ("0.0.0.0", "::") else config.serve.host  # noqa: S104 - compared with, not bound to
    return f"http://{host}:{config.serve.port}/v1"


def resolve_config(config: Config) -> Config:
    """The configuration with paths that hold in every process, and ``serve.store`` set.

    A registered model becomes the directory it lies in now, as does the package's own, which is taken where
    ``serve.model`` is null; without ``serve.store`` a temporary folder is made.

    Raises:
        ConfigError: ``serve.model`` is no FaVChat model.
        AssetError: A part of the package's own model cannot be fetched.
    """
    model = _servable(config.serve.model or SHIPPED, config, "serve.model")
    models = {name: _servable(place, config, f"serve.models.{name}") for name, place in config.serve.models.items()}
    store = str(Path(config.serve.store or tempfile.mkdtemp(prefix="favchat-serve-")).resolve())
    keys_file = config.serve.keys_file and str(Path(config.serve.keys_file).resolve())
    places = {"model": model, "models": models, "store": store, "keys_file": keys_file}
    return config.model_copy(update={"serve": config.serve.model_copy(update=places)})


def _servable(name: str, config: Config, key: str) -> str:
    """The directory or hub name of a model that can be served; `key` is the setting that names it.

    Raises:
        ConfigError: It cannot.
        AssetError: A part of the package's own model cannot be fetched.
    """
    model = resolve_model(name, config.tracking, key=key)
    try:
        found = saved_config(model)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key} = {model}: no model directory and no hub name: {error}") from error
    if found.get("model_type") != "favchat":
        raise ConfigError(f"{key} = {model}: this is a {found.get('model_type')} model, not one that favchat trained")
    if (found.get("adapter_config") or {}).get("route_by_question"):
        raise ConfigError(
            f"{key} = {model}: its router reads the question (model.adapter.route_by_question). The server keeps "
            "a video's tokens for all questions and cannot serve it; `favchat ask` can ask it."
        )
    return str(Path(model).resolve()) if Path(model).exists() else model


def _deployment(
    name: str,
    kind: type,
    serve: ServeConfig,
    replicas: int,
    *,
    ongoing: int,
    queued: int | None = None,
    gpu: float = 0.0,
) -> Any:
    return ray_serve.deployment(
        kind,
        name=name,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": serve.cpus_per_replica, "num_gpus": gpu if serve.use_gpu else 0},
        max_ongoing_requests=ongoing,
        max_queued_requests=queued or serve.max_queued_requests,
        health_check_period_s=HEALTH_PERIOD,
        graceful_shutdown_timeout_s=serve.drain_timeout,
        # A line a request with its id, also where Ray Serve's own would be text.
        logging_config=LoggingConfig(encoding=EncodingType.JSON, enable_access_log=name != "api"),
    )


def demands(serve: ServeConfig) -> list[Demand]:
    """What the deployments need all at once."""
    cpus, gpus, models = serve.cpus_per_replica, 1 if serve.use_gpu else 0, 1 + len(serve.models)
    models += serve.reload_seconds is not None  # beside the old one while it comes up
    return [
        Demand("serve.cpus_per_replica", 1, cpus),  # the API
        Demand("serve.media_replicas", models * serve.media_replicas, cpus),
        Demand("serve.encoder_replicas", models * serve.encoder_replicas, cpus, 0.25 * gpus, "serve.use_gpu"),
        Demand("serve.engine_replicas", models * serve.engine_replicas, cpus, 0.75 * gpus, "serve.use_gpu"),
    ]


def refuse_open_door(serve: ServeConfig) -> None:
    """See that the keys can be read, and that there are some if the network may ask.

    Raises:
        ConfigError: They cannot, or there are none.
    """
    if serve.auth == "off" or len(KeyRing.of(serve)) or is_loopback(serve.host):
        return
    raise ConfigError(
        f"serve.host = {serve.host}: the network could ask this server, and no key is needed. Make one with "
        "`favchat key NAME --file keys.yaml` and set serve.keys_file=keys.yaml, or say serve.auth=off"
    )


def _check_cluster_port(serve: ServeConfig) -> None:
    """Where a cluster runs already its head listens; Ray Serve would try for minutes."""
    if ray_serve.status().proxies:  # its own proxy holds the port
        return
    probe = ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001})(listen_error)
    _refuse_port(serve, ray.get(probe.remote(serve.host, serve.port)))


def _refuse_port(serve: ServeConfig, fault: str | None) -> None:
    if fault:
        raise ConfigError(
            f"serve.host = {serve.host}, serve.port = {serve.port}: cannot listen there ({fault}); choose another with "
            "serve.port=..."
        )


def _welcome(config: Config, base: str) -> str:
    question = {"type": "text", "text": "Is the person smiling?"}
    video = {"type": "video_url", "video_url": {"url": "FILE"}}
    body = json.dumps({"model": config.serve.name, "messages": [{"role": "user", "content": [video, question]}]})
    key = ' -H "Authorization: Bearer $FAVCHAT_API_KEY"' if len(KeyRing.of(config.serve)) else ""
    return (
        f"serving {config.serve.model or SHIPPED} as '{config.serve.name}' at {base} (Ctrl-C stops)\n"
        "ask it about a video:\n"
        f"  FILE=$(curl -s {base}/files{key} -F file=@VIDEO.mp4 | grep -o 'file-[0-9a-f]*')\n"
        f"  curl -s {base}/chat/completions{key} -H 'Content-Type: application/json' \\\n"
        f"    -d '{body.replace('FILE', chr(39) + '$FILE' + chr(39))}'"
    )
