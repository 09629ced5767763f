"""What a cluster can ever place: named by its setting, before anybody waits."""

import logging

import pytest

from favchat.config import ConfigError
from favchat.runtime.placement import Demand, check_demands, local_nodes

TWO_NODES = [{"CPU": 2.0}, {"CPU": 3.0, "GPU": 2.0}]


@pytest.mark.parametrize(
    "demands",
    [
        [],
        [Demand("a", 5, cpus=0.9)],
        [Demand("a", 2, gpus=1)],
        [Demand("a", 8, gpus=0.25)],
        [Demand("a", 1, cpus=0.1), Demand("b", 2, cpus=1, gpus=0.75), Demand("c", 2, gpus=0.25)],
        [Demand("a", 100)],
    ],
)
def test_what_fits(demands: list[Demand]) -> None:
    check_demands(demands, TWO_NODES, "this machine")


@pytest.mark.parametrize(
    ("demands", "said"),
    [
        ([Demand("data.workers", 6, cpus=0.9)], "data.workers = 6: each takes 0.9 CPUs, and this machine, with 5 CPUs"),
        ([Demand("a", 3, gpus=1)], "a = 3: each takes 1 GPUs, and this machine, with 5 CPUs and 2 GPUs, can place 2$"),
        ([Demand("a", 1, cpus=4)], "a = 1: .* can place 0"),  # five CPUs, but on no one node
        ([Demand("a", 2, gpus=0.75), Demand("b", 3, gpus=0.25)], "b = 3: .* can place 2 beside the rest"),
    ],
)
def test_what_does_not(demands: list[Demand], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_demands(demands, TWO_NODES, "this machine")


def test_gpus_where_there_are_none() -> None:
    demand = Demand("training.num_workers", 1, gpus=1, gpu_setting="training.use_gpu")
    with pytest.raises(ConfigError, match="training.use_gpu = true: this machine has no GPU"):
        check_demands([demand], local_nodes(4, gpus=False), "this machine")


def test_a_cluster_that_grows_is_only_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_demands([Demand("data.workers", 6, cpus=1)], TWO_NODES, "the Ray cluster", grows=True)
    assert "data.workers = 6: " in caplog.text and "waiting for further nodes" in caplog.text
