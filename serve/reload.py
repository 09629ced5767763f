"""Take up the newer version of a registered model while requests go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count

from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve import Application
from ray.serve.api import RunTarget
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from favchat.backbones.assets import AssetError
from favchat.config import Config, ConfigError
from serve.served_model import configs_of

logger = logging.getLogger(__name__)
LOOK = 0.5
"""Seconds between two looks whether an application is up."""
Bind = Callable[[Config], tuple[Application, ...]]
"""Makes the media, encoder and engine deployments of a model."""


class ModelApplications:
    """Models whose deployments are applications of their own, so that one model can be replaced as a whole.

    Args:
        bind: Makes a model's deployments.
    """

    def __init__(self, bind: Bind) -> None:
        self._bind, self._number = bind, count()
        self._names: dict[str, list[str]] = {}

    def start(self, config: Config, ending: threading.Event | None = None) -> list[DeploymentHandle]:
        """Start a model and wait until its replicas are up: the handles of media, encoder and engine.

        Args:
            config: The model's configuration, see :func:`serve.served_model.configs_of`.
            ending: Set where nobody should wait any more.

        Raises:
            RuntimeError: They do not come up, or the wait ended; nothing of them is left.
        """
        parts, number = self._bind(config), next(self._number)
        names = [f"favchat-{config.serve.name}-{kind}-{number}" for kind in ("media", "encoder", "engine")]
        targets = [RunTarget(part, name, route_prefix=None) for part, name in zip(parts, names, strict=True)]
        try:
            # Ray Serve's own wait cannot be ended.
            handles = ray_serve.run_many(targets, wait_for_applications_running=False)
            _wait(names, ending or threading.Event())
        except BaseException:
            self._delete(names)
            raise
        self._names.setdefault(config.serve.name, []).extend(names)
        return list(handles)

    def end_older(self, model: str) -> None:
        """End the applications that a model had before its newest ones; what they are answering is finished."""
        names = self._names[model]
        self._names[model] = names[-3:]
        self._delete(names[:-3])

    def end(self) -> None:
        """End all."""
        for names in self._names.values():
            self._delete(names)
        self._names.clear()

    def _delete(self, names: list[str]) -> None:
        for name in names:
            try:
                ray_serve.delete(name)
            except (RayError, RayServeException, TimeoutError) as error:
                logger.warning("the application %s stays: %s", name, error)


def _wait(names: list[str], ending: threading.Event) -> None:
    while True:
        found = ray_serve.status().applications
        states = {found[name].status: found[name].message for name in names}
        for state in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            if state in states:
                raise RuntimeError(states[state])
        if set(states) == {ApplicationStatus.RUNNING}:
            return
        if ending.wait(LOOK):
            raise RuntimeError("the server ends")


class Reloader:
    """Looks whether the settings name other models than those that are served.

    Args:
        config: The settings as they were given, in which a name such as ``models:/NAME@champion`` may come to mean
            another model.
        served: The same with the models that are served.
        resolve: Makes the second from the first.
        applications: Where the models run.
        take_up: Tells the API of a model's new handles.
        say: Gets a line for each model that is taken up.
    """

    def __init__(
        self,
        config: Config,
        served: Config,
        *,
        resolve: Callable[[Config], Config],
        applications: ModelApplications,
        take_up: Callable[[Config, list[DeploymentHandle]], None],
        say: Callable[[str], None],
    ) -> None:
        # The store stays where it is.
        store = {"store": served.serve.store}
        self._config = config.model_copy(update={"serve": config.serve.model_copy(update=store)})
        self._served = {one.serve.name: one.serve.model for one in configs_of(served)}
        self._resolve, self._applications, self._take_up, self._say = resolve, applications, take_up, say
        self._failed: set[str | None] = set()

    def look(self, ending: threading.Event, seconds: float) -> None:
        """Look once, and take up what is new.

        Args:
            ending: Set where nobody should wait any more.
            seconds: How long requests that began before go on with the model of before.
        """
        try:
            found = self._resolve(self._config)
        except (ConfigError, AssetError, OSError) as error:
            logger.warning("the models stay as they are: %s", error)
            return
        for one in configs_of(found):
            name, model = one.serve.name, one.serve.model
            if model == self._served[name] or model in self._failed:
                continue
            self._say(f"taking up {model} as '{name}' ...")
            try:
                self._take_up(one, self._applications.start(one, ending))
            except (RuntimeError, RayError, RayServeException, TimeoutError) as error:
                self._failed.add(model)
                self._say(f"'{name}' stays as it is: {model} does not come up: {error}")
                continue
            self._served[name] = model
            self._say(f"'{name}' is {model} now")
            ending.wait(seconds)
            self._applications.end_older(name)
