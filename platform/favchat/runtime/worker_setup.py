"""The script by which a local Ray starts a worker: as Ray's own, which imports all of Ray for it, 0.3 CPU seconds.

Where there is a `favchat.runtime.fork_server`, the worker is forked from it, and this script ends: Ray knows a worker
by what it says of itself when it is there. Otherwise this process becomes the worker. Where a runtime environment asks
for more than variables, it hands over to Ray's own script.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from favchat.runtime.fork_server import run_forked

CONTEXT, LANGUAGE = "--serialized-runtime-env-context=", "--language="
FORK_SERVER = "FAVCHAT_FORK_SERVER"
"""The variable with the address of the server's socket."""


def command(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """What the worker's process has to run, and the variables that it gets beside its own.

    Args:
        arguments: Those that Ray's node process gives: the worker's script and its arguments, among them the two that
            are meant for this script.
    """
    meant = {name: one.removeprefix(name) for one in arguments for name in (CONTEXT, LANGUAGE) if one.startswith(name)}
    context = json.loads(meant.get(CONTEXT) or "{}")
    variables = context.pop("env_vars", None) or {}
    plain = context.pop("py_executable", None) in (None, sys.executable) and not any(context.values())
    if plain and meant.get(LANGUAGE) == "PYTHON" and not any("$" in value for value in variables.values()):
        return [sys.executable, *(one for one in arguments if not one.startswith((CONTEXT, LANGUAGE)))], variables
    ray = find_spec("ray")  # found, not imported
    if ray is None or ray.origin is None:
        raise ModuleNotFoundError("ray is not installed")
    return [sys.executable, str(Path(ray.origin).parent / "_private" / "workers" / "setup_worker.py"), *arguments], {}


def main() -> None:
    """Start the worker that Ray asks for."""
    becomes, added = command(sys.argv[1:])
    environment = {**os.environ, **added}
    server = environment.pop(FORK_SERVER, None)
    if not (server and becomes[1:2] == sys.argv[1:2] and run_forked(server, becomes[1:], environment)):
        os.execve(becomes[0], becomes, environment)  # noqa: S606 - without a shell


if __name__ == "__main__":
    main()
