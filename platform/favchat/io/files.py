"""Expansion of user-given paths, and atomic writes of small files."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from upath import UPath

_HOME = re.compile(r"^(file://|local://|sqlite:///)?(~.*)", re.DOTALL)


def expanded(text: str) -> str:
    """A path, or a local address, with the home folder in place of a leading ``~`` or ``~NAME``.

    A shell does that in front of a word alone, not after the ``=`` of a setting, nor in a file.
    """
    found = _HOME.match(text)
    return (found[1] or "") + os.path.expanduser(found[2]) if found else text


@contextmanager
def written_whole(path: Path | UPath) -> Iterator[BinaryIO]:
    """A file to write, and to read again, that is there at the end of the context, and only if that ends well.

    A local file is written under a hidden name and then renamed, so that a killed process leaves no partial file.
    Object storage makes a file visible only when it is complete; what is written to it is held in memory.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    if not isinstance(path, Path):
        data = BytesIO()
        yield data
        path.fs.pipe_file(path.path, data.getvalue())
        return
    hidden = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # on shared storage process ids may repeat
    try:
        with hidden.open("w+b") as file:
            yield file
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def write_bytes_whole(path: Path | UPath, data: bytes) -> None:
    """Write a file atomically, see :func:`written_whole`.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with written_whole(path) as file:
        file.write(data)


def write_text_whole(path: Path | UPath, text: str) -> None:
    """Write a text file as `write_bytes_whole` does.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    write_bytes_whole(path, text.encode())


def link_or_copy(source: str, target: str) -> None:
    """Let `target` share the bytes of `source` where the file system can, replacing it; else copy them."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def remove_tree(folder: Path | UPath) -> None:
    """Remove a folder and all that is in it, if it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.fs.rm(folder.path, recursive=True)
