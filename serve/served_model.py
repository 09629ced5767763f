"""One of the models that the application serves: its deployments, and where what they make lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from favchat.config import Config, require
from serve.health import Part
from serve.store import VideoStore


@dataclass(frozen=True)
class ServedModel:
    """A model with the three deployments that answer for it.

    Attributes:
        config: The configuration, whose ``serve.model`` and ``serve.name`` are this model's.
        media: Handle of its media deployment, which reads videos as those that the model was trained on.
        encoder: Handle of its encoder deployment.
        engine: Handle of its engine deployment.
        answers: The engine's handle for answers, which come in pieces.
        store: The store that all models share; what is derived from a video lies apart for each.
    """

    config: Config
    media: Any
    encoder: Any
    engine: Any
    answers: Any = field(init=False)
    store: VideoStore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", self.engine.options(stream=True))
        object.__setattr__(self, "store", VideoStore.of(self.config))

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.config.serve.name

    def handles(self) -> dict[str, Any]:
        """Its deployments by what they do."""
        return {"media": self.media, "encoder": self.encoder, "engine": self.engine}

    def parts(self) -> list[Part]:
        """Its deployments as Ray Serve names them."""
        return [(handle.app_name, handle.deployment_name) for handle in self.handles().values()]


def configs_of(config: Config) -> Iterator[Config]:
    """The configuration of each model, ``serve.model`` first, then those of ``serve.models``.

    Raises:
        ConfigError: There is no ``serve.model``.
    """
    require(config, "serve.model")
    yield config
    for name, model in config.serve.models.items():
        yield config.model_copy(update={"serve": config.serve.model_copy(update={"model": model, "name": name})})


def deployment_name(kind: str, config: Config, first: Config) -> str:
    """What a model's deployment is called: by its kind alone where it is the first model's."""
    return kind if config.serve.name == first.serve.name else f"{kind}-{config.serve.name}"
