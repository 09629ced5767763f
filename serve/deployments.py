"""What goes wrong between the API and the deployments behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from serve.errors import busy


@contextmanager
def in_openai_s_words() -> Iterator[None]:
    """Say in OpenAI's words that a deployment is overloaded or being replaced.

    Not left to the application's error handlers: Ray Serve puts its own, in plain text, in their place.
    """
    try:
        yield
    except BackPressureError:
        raise busy("Too many requests are waiting. Try again in a moment.") from None
    except (DeploymentUnavailableError, RayActorError):
        raise busy("A part of the server is being restarted. Try again in a moment.") from None
