"""Small files that are either whole or absent."""

from __future__ import annotations

import os
from pathlib import Path


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file under a hidden name, then rename it: whoever is killed midway leaves nothing that counts.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        hidden.write_text(text)
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
