"""Run a command as a job of a Ray cluster, with the code that runs here."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from favchat.config import ConfigError
from favchat.runtime.code_revision import git_revision
from favchat.runtime.environment import TELEMETRY_OFF
from jobs.jobs_api import PATIENCE, Follower, connect
from jobs.submitted_files import files_of, pack, refuse_relative, rewritten
from jobs.wheel import build_wheel

FORWARDED = {
    "mlflow": ("MLFLOW_",),
    "s3": ("AWS_", "FSSPEC_S3"),
    "hub": ("HF_", "HUGGING_FACE_"),
}
"""Groups of environment variables -> how their names begin; ``--forward`` names a group."""


@dataclass(frozen=True)
class Options:
    """How a command is submitted; the names are those of ``ray job submit``."""

    address: str | None = None
    name: str | None = None
    """Begins the job's id, and is in its metadata."""
    wait: bool = True
    env: Sequence[str] = ()
    """``KEY=VALUE``, or ``KEY`` alone for its value here."""
    forward: Sequence[str] = ()
    """Groups of ``FORWARDED``."""
    runtime_env: Path | None = None
    """A YAML or JSON file of Ray's runtime environment."""
    metadata: Sequence[str] = ()
    """``KEY=VALUE``."""
    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | None = None
    """Bytes."""
    patience: float = PATIENCE
    dry_run: bool = False


@dataclass(frozen=True)
class _Submission:
    words: list[str]
    files: dict[str, Path]
    environment: dict[str, Any]
    metadata: dict[str, str]
    resources: dict[str, Any] = field(default_factory=dict)

    def lines(self, wheel: Path) -> list[str]:
        """What would travel; of variables their names alone."""
        found = [f"entrypoint: {shlex.join(self.words)}", f"code: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB"]
        found += [f"file: {name} <- {path}" for name, path in self.files.items()]
        found += [f"variable: {name}" for name in sorted(self.environment["env_vars"])]
        found += [f"{name}: {value}" for name, value in self.resources.items()]
        found += [f"metadata: {name}={value}" for name, value in self.metadata.items()]
        further = set(self.environment) - {"env_vars"}
        return found + [f"runtime environment: {name}: {self.environment[name]}" for name in sorted(further)]


def run(command: list[str], options: Options = Options(), say: Callable[[str], None] = print) -> int:
    """Submit a command through the jobs API, write its log to standard output, and wait for its end.

    The code goes along as a wheel and the YAML files that the command names as the job's working directory; everything
    else that the command names, such as ``data.out``, must lie where the cluster sees it. A first word ``favchat``
    stands for the shipped code. Where the cluster asks for a token Ray finds it as it does itself: RAY_AUTH_TOKEN,
    RAY_AUTH_TOKEN_PATH or ``~/.ray/auth_token``, with RAY_AUTH_MODE=token.

    Args:
        command: The words of one command; no shell sees them.
        options: Where and how.
        say: Gets what is not part of the log.

    Returns:
        See :meth:`jobs.jobs_api.Follower.run`; 0 where nobody waits.

    Raises:
        ConfigError: There is no command, two of its files share a name, it names a relative path, or an option cannot
            be used.
        ConnectionError: No jobs API answers at the address.
    """
    if not command:
        raise ConfigError("nothing to submit: write the command after --, as in favchat submit -- favchat train ...")
    refuse_relative(command)
    submission = _submission(command, options)
    with tempfile.TemporaryDirectory() as folder:
        if options.dry_run:
            say("\n".join(submission.lines(build_wheel(Path(folder)))))
            return 0
        client = connect(options.address)
        files = Path(folder) / "files"
        environment = dict(submission.environment)
        given = environment.get("working_dir")
        if given is not None:
            shutil.copytree(given, files, symlinks=True)
        else:
            files.mkdir()
        pack(command, files)
        environment["py_modules"] = [*environment.get("py_modules", []), str(build_wheel(Path(folder)))]
        # Without a folder of its own the job runs, and looks for code, where the cluster was started.
        environment["working_dir"] = str(files)
        job = client.submit_job(
            entrypoint=shlex.join(submission.words),
            submission_id=f"{options.name}-{secrets.token_hex(4)}" if options.name else None,
            runtime_env=environment,
            metadata=submission.metadata,
            **{f"entrypoint_{name}": value for name, value in submission.resources.items()},
        )
    say(f"submitted {job}: {shlex.join(submission.words)}")
    if not options.wait:
        where = f" --address {options.address}" if options.address else ""
        say(f"follow it with\n  favchat jobs attach {job}{where}")
        return 0
    return Follower(client, job, options.address, say, options.patience).run()


def _submission(command: list[str], options: Options) -> _Submission:
    if options.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", options.name):
        raise ConfigError(f"--name {options.name}: up to 63 letters, digits, dots, - and _")
    files = files_of(command)
    environment = _runtime_env(options.runtime_env)
    variables = {name: os.environ.get(name, value) for name, value in TELEMETRY_OFF.items()}
    revision = git_revision()
    if revision:
        variables["FAVCHAT_REVISION"] = revision
    variables |= environment.get("env_vars", {}) | _variables(options)
    metadata = {"name": options.name} if options.name else {}
    metadata |= dict(_pair(word, "--metadata") for word in options.metadata)
    wanted = {"num_cpus": options.num_cpus, "num_gpus": options.num_gpus, "memory": options.memory}
    resources = {name: value for name, value in wanted.items() if value is not None}
    return _Submission(rewritten(command, files), files, environment | {"env_vars": variables}, metadata, resources)


def _variables(options: Options) -> dict[str, str]:
    found: dict[str, str] = {}
    for group in options.forward:
        if group not in FORWARDED:
            raise ConfigError(f"--forward {group}: the groups are {', '.join(FORWARDED)}")
        begins = FORWARDED[group]
        found |= {name: value for name, value in os.environ.items() if name.startswith(begins)}
    for word in options.env:
        if "=" in word:
            name, value = _pair(word, "--env")
        elif word in os.environ:
            name, value = word, os.environ[word]
        else:
            raise ConfigError(f"--env {word}: there is no such variable here; write {word}=VALUE")
        found[name] = value
    return found


def _runtime_env(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--runtime-env {file}: not a YAML file: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"--runtime-env {file}: holds no mapping, such as env_vars: {{KEY: VALUE}}")
    variables = found.get("env_vars", {})
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise ConfigError(f"--runtime-env {file}: env_vars is a mapping of texts; put numbers in quotes")
    folder = found.get("working_dir")
    if folder is not None and not Path(str(folder)).is_dir():
        raise ConfigError(f"--runtime-env {file}: working_dir = {folder} is no folder here")
    return found


def _pair(word: str, option: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not sign or not name:
        raise ConfigError(f"{option} {word.partition('=')[0]}: write KEY=VALUE")
    return name, value
