"""What the probes are told."""

import asyncio

from serve import health
from serve.health import Readiness


class Over(Exception):
    pass


PARTS = [("app", "media"), ("app", "engine")]


def states(monkeypatch, *looks: set | None) -> list[tuple[str, list[str]]]:
    """What is told after each look at the replicas."""
    draining, seen, coming = [False], [], list(looks)
    readiness = Readiness(lambda: PARTS, lambda: draining[0])
    monkeypatch.setattr(health, "LOOK", 0.0)

    def look() -> set | None:
        seen.append((readiness.state(), readiness.missing()))
        if not coming:
            raise Over
        return coming.pop(0)

    monkeypatch.setattr(health, "running_parts", look)

    async def watch() -> None:
        try:
            await readiness.watch()
        except Over:
            draining[0] = True
            seen.append((readiness.state(), readiness.missing()))

    asyncio.run(watch())
    return seen


def test_ready_is_who_has_all_parts(monkeypatch) -> None:
    told = states(monkeypatch, set(), {PARTS[0]}, {*PARTS}, {PARTS[1], ("other", "media")}, None, {*PARTS}, None)
    assert told == [
        ("starting", ["engine", "media"]),
        ("starting", ["engine", "media"]),
        ("starting", ["engine"]),
        ("ok", []),
        ("restarting", ["media"]),  # another application's is not ours
        ("restarting", ["media"]),  # the controller told nothing: as it was
        ("ok", []),
        ("ok", []),
        ("draining", []),
    ]
