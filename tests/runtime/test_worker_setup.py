"""How a worker of a local Ray begins."""

import json
import os
import sys
from pathlib import Path

import ray

from favchat.runtime.worker_setup import command

WORKER = ["default_worker.py", "--node-ip-address=10.0.0.1", "--language=PYTHON"]


def test_a_worker_is_run_at_once_with_its_variables() -> None:
    whole = {"command_prefix": [], "env_vars": {"A": "1"}, "py_executable": sys.executable, "java_jars": []}
    for context, variables in (({}, {}), (whole, {"A": "1"})):
        found = command([*WORKER, f"--serialized-runtime-env-context={json.dumps(context)}"])
        assert found == ([sys.executable, "default_worker.py", "--node-ip-address=10.0.0.1"], variables)


def test_what_a_runtime_environment_asks_for_is_left_to_ray() -> None:
    for context in ({"env_vars": {"A": "$HOME"}}, {"py_executable": "/other/python"}, {"command_prefix": ["cd /x &&"]}):
        arguments = [*WORKER, f"--serialized-runtime-env-context={json.dumps(context)}"]
        (python, script, *rest), variables = command(arguments)
        assert (python, rest, variables) == (sys.executable, arguments, {})
        assert Path(script).is_file() and Path(script).name == "setup_worker.py"


def test_workers_get_their_environment(ray_session: None) -> None:
    told = ray.remote(lambda: os.environ.get("FAVCHAT_TEST"))
    assert ray.get(told.remote()) is None
    assert ray.get(told.options(runtime_env={"env_vars": {"FAVCHAT_TEST": "1"}}).remote()) == "1"
