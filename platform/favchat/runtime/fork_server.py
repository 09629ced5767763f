"""A process that imports once what a local Ray's workers need, and is forked for each of them.

Ray starts every worker as a new Python, and most of ours import torch and transformers: 3 CPU seconds and 300 MB each.
Workers that are forked share both. Python's `multiprocessing` has such a server too, which cannot start a program for
somebody else's child. Ray itself is not imported here: it reads once, at that moment, which job and node it belongs to.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from favchat.runtime.environment import LOCAL_RAY, TELEMETRY_OFF

MOST = 1 << 20
"""Bytes of a request at most: a command's arguments and its environment."""

MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "MALLOC_ARENA_MAX": LOCAL_RAY["MALLOC_ARENA_MAX"]}
"""Memory in large pages where the system offers them: a virtual machine may take a second for 500 MB in small ones; and
few heaps. The C library reads both when a process starts, so that the forked ones have it from the server."""

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Read by NumPy's and torch's libraries when they are loaded. Ray sets it for a worker that asks for no CPU before it
imports anything; those that may use more set their threads."""


@dataclass(frozen=True)
class Program:
    """A Python script to run in a process that is forked.

    Attributes:
        arguments: The script's path and its arguments.
        environment: All its variables.
        folder: Where it runs.
        group: Its process group.
        blocked: Signals that do not reach it.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    group: int
    blocked: list[int]


@cache
def address() -> str:
    """Where the socket of this process's server lies or will lie, in a folder that nobody else may enter."""
    folder = tempfile.mkdtemp(prefix="favchat-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(Path(folder) / "workers")


_started = threading.Event()


def start(*modules: str, later: Sequence[str] = ()) -> None:
    """Start this process's server; it ends with it, however that ends.

    A process has one server: where there is one, nothing is done.

    Args:
        *modules: What it imports before it forks for anybody; one that is not installed is left out. None of them may
            import Ray, or start threads that it needs afterwards.
        later: What it imports then, one after the other; who asks meanwhile is served between two of them.
    """
    if _started.is_set():
        return
    _started.set()
    ended, alive = os.pipe()  # `alive` stays open as long as this process lives
    try:
        subprocess.Popen(
            [sys.executable, "-m", __name__, address(), str(ended), ",".join(modules), *later],
            pass_fds=[ended],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=MEMORY | ONE_THREAD | TELEMETRY_OFF | os.environ,
        )
    except OSError:
        os.close(alive)
        raise
    finally:
        os.close(ended)


def run_forked(address: str, arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Have a server run a script with this process's streams, folder, process group and blocked signals.

    Args:
        address: Of the server's socket.
        arguments: The script's path and its arguments.
        environment: All its variables.

    Returns:
        Whether it runs now. It does not where there is no server.
    """
    blocked = [int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
    program = Program(list(arguments), dict(environment), os.getcwd(), os.getpgrp(), blocked)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.connect(address)
            socket.send_fds(server, [json.dumps(asdict(program)).encode()], [0, 1, 2])
            return server.recv(1) == b"1"
    except OSError:
        return False


def _import(modules: Sequence[str]) -> None:
    for name in filter(None, modules):
        with suppress(ImportError):
            import_module(name)
    gc.freeze()  # the collector would write to all that the processes share


def _serve(listener: socket.socket, ended: int, patience: float | None = None) -> Program | None:
    """Fork for whoever asks until the pipe ends, or nobody has asked for so many seconds.

    Returns:
        In a forked process what to run, in the server None.
    """
    while True:
        ready, _, _ = select.select([listener.fileno(), ended], [], [], patience)
        if ended in ready or not ready:
            return None
        asker, _ = listener.accept()
        with asker:
            if program := _fork(asker):
                return program


def _fork(asker: socket.socket) -> Program | None:
    """Do what one asks; in the forked process, which has its streams, what it has to run, None in the server."""
    message, streams, _, _ = socket.recv_fds(asker, MOST, 3)
    process = -1
    with suppress(OSError, ValueError, TypeError):  # too many processes, or no program: no answer is an answer
        program = Program(**json.loads(message))
        process = os.fork()
    if process == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    if process == 0:
        return program
    with suppress(OSError):  # who asked is gone
        if process > 0:
            os.setpgid(process, program.group)
            asker.send(b"1")
    return None


def _run(program: Program) -> None:
    """Run a program in this process, which looks as if it had been started for it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, program.blocked)
    os.environ.clear()
    os.environ.update(program.environment)
    os.chdir(program.folder)
    sys.argv = program.arguments
    sys.path[0] = str(Path(program.arguments[0]).parent)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # no two processes draw the same
    if torch := sys.modules.get("torch"):
        # It has read the variable long ago. Ray sets it to 1 for workers that ask for no CPU; others set their threads.
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]))
    gc.enable()
    runpy.run_path(program.arguments[0], run_name="__main__")


def main() -> None:
    """The server: ``ADDRESS PIPE MODULE,... MODULE...``; becomes each of the forked processes, too."""
    address, ended, first, *later = sys.argv[1:]
    # Ctrl-C is for who started it. Nobody waits for the forked processes: the system forgets those that have ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.disable()  # imports make a million objects and drop hardly any
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(128)  # who asks from now on waits
        _import(first.split(","))
        for name in later:
            if program := _serve(listener, int(ended), patience=0):
                break
            _import([name])
        else:
            program = _serve(listener, int(ended))
    os.close(int(ended))
    if program is not None:
        _run(program)
    else:
        shutil.rmtree(Path(address).parent, ignore_errors=True)


if __name__ == "__main__":
    main()
