"""A fork server is started for a Ray of this machine's own alone."""

import pytest

from favchat.config import RayConfig
from favchat.runtime import fork_server, preload
from favchat.runtime.preload import MODEL_MODULES, VIDEO_MODULES, preload_model, preload_video


@pytest.mark.parametrize(
    ("address", "variable", "started"),
    [(None, None, True), ("local", "head:6379", True), (None, "head:6379", False), ("head:6379", None, False)],
)
def test_where_a_command_joins_a_cluster_nothing_is_started(address, variable, started, monkeypatch):
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(fork_server, "start", lambda *modules, later: calls.append((*modules, *later)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    preload_model(RayConfig(address=address))
    preload_video(RayConfig(address=address))
    assert calls == ([MODEL_MODULES, VIDEO_MODULES] if started else [])


@pytest.mark.parametrize("gpu", [True, False])
def test_nothing_that_asks_for_gpus_is_preloaded_where_there_are_any(gpu, monkeypatch, tmp_path):
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(fork_server, "start", lambda *modules, later: calls.append(later))
    monkeypatch.setattr(preload, "NVIDIA", str(tmp_path / "none") if not gpu else str(tmp_path))
    preload.preload_training(RayConfig(address="local"))
    assert calls == [() if gpu else preload.TRAINING_MODULES]
