"""Processes that are forked from one that has imported something are as if they had been started."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from favchat.runtime.fork_server import Program

ASK = "import os, sys; from favchat.runtime.fork_server import run_forked; \
print(run_forked(sys.argv[1], sys.argv[2:], os.environ | {'GIVEN': 'value'}), os.getpgrp(), flush=True)"
OWNER = "import os, sys; from favchat.runtime import fork_server; fork_server.start(*sys.argv[1:]); \
print(fork_server.address(), flush=True); exec(input())"
TELL = """
import json, os, signal, sys
import numpy, torch
from threadpoolctl import threadpool_info
print(json.dumps({
    "arguments": sys.argv, "name": __name__, "folder": os.getcwd(), "path": sys.path[0], "group": os.getpgrp(),
    "given": os.environ.get("GIVEN"), "own": os.environ.get("OWN"),
    "imported": "colorsys" in sys.modules, "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "blocked": [int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "drawn": numpy.random.random(), "threads": torch.get_num_threads(), "input": sys.stdin.read(),
    "pools": max(pool["num_threads"] for pool in threadpool_info()),
}))
print("an error", file=sys.stderr)
sys.exit(3)
"""


def until(holds) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        return asker.connect_ex(address) == 0


@pytest.fixture(scope="module")
def address():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, "numpy", "torch", "colorsys", "no_such_module"], stdin=-1, stdout=-1, text=True
    ) as owner:
        assert owner.stdout is not None
        place = owner.stdout.readline().strip()
        until(lambda: answers(place))
        yield place
        owner.communicate("pass\n")


def ask(address: str, script: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Have a script run by a server, for a process of its own, until what it writes ends."""
    command = [sys.executable, "-c", ASK, address, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, **options)


def test_a_script_runs_as_if_it_had_been_started(address, tmp_path):
    script = tmp_path / "place" / "tell.py"
    script.parent.mkdir()
    script.write_text(TELL)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | {"OWN": "1"}
    runs = [
        ask(address, script, "-a", "b c", input="typed", env=environment, cwd=tmp_path, process_group=0)
        for _ in range(2)
    ]
    answers = [run.stdout.split("\n", 1) for run in runs]
    told = [json.loads(rest) for _, rest in answers]
    assert all(run.stderr == "an error\n" for run in runs)
    assert told[0]["drawn"] != told[1]["drawn"]
    for (first, _), one in zip(answers, told, strict=True):
        ran, group = first.split()
        assert ran == "True"
        del one["drawn"]
        assert one == {
            "arguments": [str(script), "-a", "b c"],
            "name": "__main__",
            "folder": str(tmp_path),
            "path": str(script.parent),
            "group": int(group),
            "given": "value",
            "own": "1",
            "imported": True,
            "interrupt": True,
            "blocked": [],
            "threads": 1,
            "pools": 1,
            "input": "typed",
        }


def test_threads_are_those_of_the_variable(address, tmp_path):
    script = tmp_path / "tell.py"
    script.write_text(TELL)
    run = ask(address, script, input="", env=os.environ | {"OMP_NUM_THREADS": "2"})
    assert json.loads(run.stdout.split("\n", 1)[1])["threads"] == 2


def test_where_no_server_is_nothing_runs(tmp_path):
    script = tmp_path / "never.py"
    script.write_text("print('never')")
    assert ask(str(tmp_path / "nobody"), script).stdout.split()[0] == "False"


def test_what_is_no_request_is_refused_and_the_server_stays(address, tmp_path):
    for message in (b"no program", b"[]", b'{"arguments": 1}'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(address)
            stranger.send(message)
            assert stranger.recv(1) == b""
    script = tmp_path / "still.py"
    script.write_text("print('still there')")
    assert "still there" in ask(address, script).stdout


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_who_started_it(end):
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=-1, stdout=-1, text=True) as owner:
        assert owner.stdout is not None
        place = owner.stdout.readline().strip()
        until(lambda: answers(place))
        owner.communicate(f"{end}\n")
    until(lambda: not Path(place).parent.exists())


def test_what_was_forked_from_onnx_runtime_ends(tmp_path):
    """It has a thread for its reports, unless they are off, and the forked process would wait for that at its end."""
    script = tmp_path / "short.py"
    script.write_text("print('done')")
    reporting = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, "onnxruntime"], stdin=-1, stdout=-1, text=True, env=reporting
    ) as owner:
        assert owner.stdout is not None
        place = owner.stdout.readline().strip()
        until(lambda: answers(place))
        try:
            assert "done" in ask(place, script).stdout  # read until the forked process closes it
        finally:
            owner.communicate("pass\n")


def test_who_asks_while_more_is_imported_is_served_before_it(tmp_path):
    wait = "import pathlib, time\nwhile not (pathlib.Path(__file__).parent / '{}').exists(): time.sleep(0.01)"
    (tmp_path / "early.py").write_text("")
    (tmp_path / "between.py").write_text(wait.format("asked"))
    (tmp_path / "late.py").write_text(wait.format("served"))
    script = tmp_path / "tell.py"
    script.write_text(
        "import pathlib, sys\nprint(*(name in sys.modules for name in ('early', 'between', 'late')))\n"
        "(pathlib.Path(__file__).parent / 'served').touch()"
    )
    code = OWNER.replace("start(*sys.argv[1:])", "start('early', later=('between', 'late'))")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True, env=environment) as owner:
        assert owner.stdout is not None
        place = owner.stdout.readline().strip()
        until(lambda: answers(place))
        program = Program([str(script)], dict(os.environ), str(tmp_path), os.getpgrp(), [])
        told, output = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.connect(place)
            socket.send_fds(server, [json.dumps(asdict(program)).encode()], [output] * 3)
            os.close(output)
            (tmp_path / "asked").touch()
            assert server.recv(1) == b"1"
        with open(told) as first:
            assert first.read() == "True True False\n"
        assert ask(place, script).stdout.split("\n")[1] == "True True True"
        owner.communicate("pass\n")
