"""Progress on a terminal and in a log."""

import io
import re
import threading
import time

import pytest
import ray
from rich.console import Console

from favchat.runtime import progress
from favchat.runtime.progress import ProgressLog, clip_progress


def test_the_pace_counts_from_the_first_finished_clips_on() -> None:
    pace = ProgressLog(100)
    pace.note(5.0, 0)
    assert str(pace) == "- clips/s"
    pace.note(60.0, 4)  # the cluster took a minute to start
    assert str(pace) == "- clips/s"
    pace.note(70.0, 24)
    assert str(pace) == "2 clips/s, 0:00:38 left"
    pace.note(98.0, 100)
    assert str(pace) == "2.53 clips/s, 0:00:00 left"


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown(ray_session: None, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(progress, "LOG_S", 0.1)
    monkeypatch.setattr(progress, "_POLL_S", 0.1)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)
    first, then = ("2/1200", "22/1200") if terminal else ("2 of 1,200", "22 of 1,200")

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 60
        while not re.search(rf"\b{text} clips, 1 rejected", console.file.getvalue()):  # type: ignore[attr-defined]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with clip_progress("prepare", 1200, console) as counter:
        ray.get([counter.finished.remote("a", True), counter.finished.remote("b", False)])
        ray.get(counter.finished.remote("b", False))  # done twice, and still one clip
        wait_for(first)
        ray.get([counter.finished.remote(str(number), False) for number in range(20)])
        wait_for(then)
    shown = console.file.getvalue()
    lines = [line for line in shown.splitlines() if line.startswith("prepare: ")]
    if terminal:
        assert "22/1200 clips, 1 rejected" in shown and " left" in shown and not lines
    else:
        assert len(lines) >= 2
        assert lines[-1].startswith("prepare: 22 of 1,200 clips, 1 rejected, ") and lines[-1].endswith(" left")


def test_work_goes_on_where_the_counter_is_gone(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_POLL_S", 0.05)
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    with clip_progress("prepare", 2, Console(file=io.StringIO())) as counter:
        ray.get(counter.finished.remote("a", False))
        ray.kill(counter)
        with pytest.raises(ray.exceptions.RayActorError):
            while True:  # it is killed soon, not at once
                ray.get(counter.counts.remote())
        time.sleep(0.2)
    assert not faults
