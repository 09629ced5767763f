"""Fixtures that every test may use."""

from collections.abc import Iterator

import pytest
import ray

from favchat.cluster import quiet_environment


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray of two CPUs for the whole run; a test that needs Ray takes this fixture and starts none itself."""
    quiet_environment()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
