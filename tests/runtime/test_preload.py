"""A fork server is started for a Ray of this machine's own alone."""

import pytest

from favchat.config import RayConfig
from favchat.runtime import fork_server
from favchat.runtime.preload import MODEL_MODULES, preload_model


@pytest.mark.parametrize(
    ("address", "variable", "started"),
    [
        (None, None, [MODEL_MODULES]),
        ("local", "head:6379", [MODEL_MODULES]),
        (None, "head:6379", []),
        ("head:6379", None, []),
    ],
)
def test_where_a_command_joins_a_cluster_nothing_is_started(address, variable, started, monkeypatch):
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(fork_server, "start", lambda *modules: calls.append(modules))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    preload_model(RayConfig(address=address))
    assert calls == started
