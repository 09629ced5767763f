"""Small files that are either whole or absent."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from upath import UPath


def write_bytes_whole(path: Path | UPath, data: bytes) -> None:
    """Write a file that is there as a whole or not at all.

    A local one is written under a hidden name and then renamed: whoever is killed midway leaves nothing that counts.
    Object storage shows a file when its last byte has arrived.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    if not isinstance(path, Path):
        path.fs.pipe_file(path.path, data)
        return
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # on shared storage process ids may repeat
    try:
        hidden.write_bytes(data)
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def write_text_whole(path: Path | UPath, text: str) -> None:
    """Write a text file as `write_bytes_whole` does.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    write_bytes_whole(path, text.encode())
