"""Which code a run was made with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git_revision() -> str | None:
    """The commit of the checkout that this code runs from, with ``-dirty`` where files differ from it.

    ``FAVCHAT_REVISION`` names it for code that was shipped without its checkout; None where nothing is known.
    """
    shipped = os.environ.get("FAVCHAT_REVISION")
    if shipped:
        return shipped
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        # Installed into a virtual environment, this file may lie in another project's checkout, but not tracked by it.
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], capture_output=True, check=True)
        # No tag has this name, so that the description is always the commit.
        words = ["describe", "--always", "--abbrev=40", "--dirty", "--match", "favchat-no-tag"]
        return subprocess.run([*git, *words], capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
