"""Ray that cannot be had is told at once, with the setting or variable."""

import socket
import threading
from collections.abc import Iterator

import pytest
import ray

from favchat.config import ConfigError, RayConfig
from favchat.runtime import ray_cluster
from favchat.runtime.placement import Demand


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ray ran nowhere, and must not be started either."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def start(**_: object) -> None:
        raise AssertionError("Ray is started")

    monkeypatch.setattr(ray, "init", start)


@pytest.fixture
def listener() -> Iterator[int]:
    """A port where somebody listens who speaks no gRPC."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "http://127.0.0.1:{}"])
def test_a_stale_address_is_told_with_its_variable(form: str, no_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    address = form.format(free_port())
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConnectionError, match=f"RAY_ADDRESS = {address}: no Ray answers there: (.|\n)*or unset it"):
        ray_cluster.start(RayConfig())
    with pytest.raises(ConnectionError, match=f"ray.address = {address}: no Ray answers there: (.|\n)*leave it out"):
        ray_cluster.start(RayConfig(address=address))


def test_somebody_else_at_the_address(no_ray: None, listener: int) -> None:
    with pytest.raises(ConnectionError, match="something listens there, but it is no Ray"):
        ray_cluster.start(RayConfig(address=f"127.0.0.1:{listener}"))


@pytest.mark.parametrize("address", ["no-such-host.invalid:6379", "127.0.0.1:99999"])
def test_an_address_that_is_none(address: str, no_ray: None) -> None:
    with pytest.raises(ConnectionError, match=f"ray.address = {address}: "):
        ray_cluster.start(RayConfig(address=address))


def test_a_running_ray_answers(ray_session: None) -> None:
    ray_cluster.check_reach(ray.get_runtime_context().gcs_address, "ray.address")


def test_a_ray_that_does_not_start_is_a_message(no_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nMore of it.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(
        ConnectionError, match="a local Ray does not start: The current node timed out during startup.\n"
    ):
        ray_cluster.start(RayConfig())
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ConnectionError, match="RAY_ADDRESS = auto: The current node timed out"):
        ray_cluster.start(RayConfig())


def test_what_this_machine_can_never_place_starts_no_ray(no_ray: None) -> None:
    with pytest.raises(ConfigError, match="data.workers = 3: .*this machine, with 2 CPUs .* can place 2"):
        ray_cluster.start(RayConfig(num_cpus=2), demands=[Demand("data.workers", 3, cpus=0.9)])


def test_what_a_running_cluster_can_never_place(ray_session: None) -> None:
    ray_cluster.start(RayConfig(), demands=[Demand("data.workers", 2, cpus=0.9)])
    with pytest.raises(ConfigError, match="data.workers = 3: .*the Ray cluster, with 2 CPUs"):
        ray_cluster.start(RayConfig(), demands=[Demand("data.workers", 3, cpus=0.9)])
    gpu = Demand("evaluation.workers", 1, gpus=1, gpu_setting="evaluation.use_gpu")
    with pytest.raises(ConfigError, match="evaluation.use_gpu = true: the Ray cluster has no GPU"):
        ray_cluster.start(RayConfig(), demands=[gpu])
