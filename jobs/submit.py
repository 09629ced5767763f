"""Run a command as a job of a Ray cluster, with the code that runs here."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from favchat.config import ConfigError
from favchat.runtime.environment import TELEMETRY_OFF
from favchat.runtime.ray_cluster import check_reach
from favchat.tracking import git_revision
from jobs.wheel import build_wheel

ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell has it."""


def run(command: list[str], *, address: str | None = None, say: Callable[[str], None] = print) -> int:
    """Submit a command through the jobs API, write its log to standard output, and wait for its end.

    The code goes along as a wheel and the YAML files that the command names as the job's working directory; everything
    else that the command names, such as ``data.out``, must lie where the cluster sees it. A first word ``favchat``
    stands for the shipped code. Where the cluster asks for a token Ray finds it as it does itself: RAY_AUTH_TOKEN,
    RAY_AUTH_TOKEN_PATH or ``~/.ray/auth_token``, with RAY_AUTH_MODE=token.

    Args:
        command: The words of one command; no shell sees them.
        address: Of the cluster's jobs API, such as ``http://head:8265``; by default RAY_API_SERVER_ADDRESS or
            RAY_ADDRESS, else a cluster on this machine.
        say: Gets what is not part of the log.

    Returns:
        The command's exit status; 1 for a job that ended without one, 130 after Ctrl-C, which stops the job.

    Raises:
        ConfigError: There is no command, or two of its files share a name.
        ConnectionError: No jobs API answers at the address.
    """
    if not command:
        raise ConfigError("nothing to submit: write the command after --, as in favchat submit -- favchat train ...")
    # The client logs every upload and the end of the log.
    for name in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
    client = connect(address)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "files"
        files.mkdir()
        words = pack(command, files)
        environment: dict[str, Any] = {
            "py_modules": [str(build_wheel(Path(folder)))],
            # Without a folder of its own the job runs, and looks for code, where the cluster was started.
            "working_dir": str(files),
            "env_vars": {name: os.environ.get(name, value) for name, value in TELEMETRY_OFF.items()},
        }
        revision = git_revision()
        if revision:
            environment["env_vars"]["FAVCHAT_REVISION"] = revision
        job = client.submit_job(entrypoint=shlex.join(words), runtime_env=environment)
    say(f"submitted {job}: {shlex.join(words)}")
    try:
        asyncio.run(_follow(client, job))
        return _exit_status(_wait(client, job), say)
    except KeyboardInterrupt:
        client.stop_job(job)
        say(f"asked {job} to stop")
        _wait(client, job)
        return INTERRUPTED


def connect(address: str | None) -> JobSubmissionClient:
    """A client of the jobs API at the address.

    Raises:
        ConnectionError: Nothing answers there, or the token is missing or wrong.
    """
    if address:
        # Ray gives the environment precedence over what it is called with; the user's own word counts for more.
        os.environ[ADDRESS_VARIABLE] = address
    given = {"--address": address, **{name: os.environ.get(name) for name in (ADDRESS_VARIABLE, "RAY_ADDRESS")}}
    name, place = next(((name, value) for name, value in given.items() if value), ("", ""))
    try:
        if place:
            check_reach(place, name)
        return JobSubmissionClient(address)
    except (AuthenticationError, ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"no jobs API at {address or os.environ.get(ADDRESS_VARIABLE) or os.environ.get('RAY_ADDRESS') or 'auto'}: "
            f"{error}\nName a cluster with --address http://HEAD:8265; it must run Ray's dashboard"
        ) from error


def pack(command: list[str], folder: Path) -> list[str]:
    """Copy the YAML files that a command names into a folder, and rewrite it to run there.

    Raises:
        ConfigError: Two different files share a name.
    """
    words = list(command)
    for index, word in enumerate(words):
        path = Path(word)
        if path.suffix in (".yaml", ".yml") and path.is_file():
            words[index], target = path.name, folder / path.name
            if target.exists() and target.read_bytes() != path.read_bytes():
                raise ConfigError(f"{word}: another file of the command is called {path.name} too; rename one of them")
            shutil.copyfile(path, target)
    # A wheel that Ray puts on the path brings no console script.
    return ["python", "-m", "jobs.cli", *words[1:]] if words[0] == "favchat" else words


async def _follow(client: JobSubmissionClient, job: str) -> None:
    try:
        async for text in client.tail_job_logs(job):
            sys.stdout.write(text)
            sys.stdout.flush()
    except RuntimeError as error:
        sys.stderr.write(f"the log breaks off here ({error}); the job goes on\n")


def _wait(client: JobSubmissionClient, job: str) -> JobDetails:
    while not (details := client.get_job_info(job)).status.is_terminal():
        time.sleep(0.5)
    return details


def _exit_status(details: JobDetails, say: Callable[[str], None]) -> int:
    if details.status == JobStatus.SUCCEEDED:
        return 0
    if details.driver_exit_code:
        say(f"{details.submission_id} ended with status {details.driver_exit_code}")
        return int(details.driver_exit_code)
    say(f"{details.submission_id} {details.status.value.lower()}: {details.message}")
    return 1
