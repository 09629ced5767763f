"""A function that runs in a worker returns and raises as if it had been called."""

import os

import pytest
import ray

from favchat.config import ConfigError
from favchat.runtime.in_worker import run_in_worker


def test_it_returns_from_another_process(ray_session):
    assert run_in_worker(lambda one: one + 1, 1) == 2
    assert run_in_worker(lambda: os.getpid()) != os.getpid()


def test_it_raises_what_the_function_raises(ray_session):
    def refuse(what: str) -> None:
        raise ConfigError(f"no {what}")

    with pytest.raises(ConfigError, match="^no model$") as raised:
        run_in_worker(refuse, "model")
    assert type(raised.value) is ConfigError


def test_a_dead_process_is_an_error_of_ray(ray_session):
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        run_in_worker(lambda: os._exit(1))
