"""Paths of files: a local path, or any address that fsspec opens, such as ``s3://bucket/clips/a.mp4``.

A local path is always a plain absolute path; ``file://`` addresses become one, and ``~`` in front is the home folder.
All other addresses keep their scheme.
"""

from __future__ import annotations

import glob
import os
import posixpath
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from favchat.errors import ConfigError
from favchat.io.files import expanded


def is_remote(address: str) -> bool:
    """Whether the address is not a local path."""
    return "://" in address and not address.startswith(("file://", "local://"))


def absolute(address: str) -> str:
    """A local path made absolute, or a remote address without a slash at its end."""
    if is_remote(address):
        return address.rstrip("/")
    return os.path.abspath(expanded(address.removeprefix("file://").removeprefix("local://")))


def path_of(address: str) -> UPath:
    """An address, of a file or folder that may not exist, as a path.

    Raises:
        ConfigError: Nothing that is installed opens such an address, or it cannot be reached.
    """
    try:
        path = UPath(absolute(address))
        if is_remote(address):
            path.exists()
    except Exception as error:  # each driver has errors of its own; S3's are no OSErrors
        raise ConfigError(f"{address} cannot be reached: {error}") from error
    return path


def join(base: str, name: str) -> str:
    """``name`` below the folder ``base``.

    One that is an absolute path, a path below the home folder (``~``) or an address stands for itself.
    """
    if "://" in name or os.path.isabs(expanded(name)):
        return absolute(name)
    return f"{base.rstrip('/')}/{posixpath.normpath(name)}" if is_remote(base) else absolute(os.path.join(base, name))


def parent(address: str) -> str:
    """The folder that holds a file."""
    return address.rpartition("/")[0] if is_remote(address) else os.path.dirname(absolute(address))


def is_file(address: str) -> bool:
    """Whether there is a file.

    Raises:
        ConfigError: The address cannot be reached.
    """
    if not is_remote(address):
        return os.path.isfile(address)
    with _reached(address) as (system, path):
        return bool(system.isfile(path))


def is_folder(address: str) -> bool:
    """Whether there is a folder; object storage knows one by what lies below it.

    Raises:
        ConfigError: The address cannot be reached.
    """
    if not is_remote(address):
        return os.path.isdir(address)
    with _reached(address) as (system, path):
        return bool(system.isdir(path))


def exists(address: str) -> bool:
    """Whether there is a file or a folder.

    Raises:
        ConfigError: The address cannot be reached.
    """
    if not is_remote(address):
        return os.path.exists(address)
    with _reached(address) as (system, path):
        return bool(system.exists(path))


def absent(addresses: Iterable[str]) -> list[str]:
    """The addresses at which nothing exists, in order; a remote folder is listed once, not once per file.

    Raises:
        ConfigError: An address cannot be reached.
    """
    wanted = list(addresses)
    folders: dict[str, set[str]] = defaultdict(set)
    for folder in {parent(address) for address in wanted if is_remote(address)}:
        with _reached(folder) as (system, path):
            if system.isdir(path):
                folders[folder] = {str(name).rpartition("/")[2] for name in system.ls(path, detail=False)}
    return [
        address
        for address in wanted
        if (
            address.rpartition("/")[2] not in folders[parent(address)]
            if is_remote(address)
            else not os.path.exists(address)
        )
    ]


def files_below(folder: str) -> list[str]:
    """Every file below a folder at any depth, ordered; hidden files and folders are skipped.

    Symbolic links are followed, except cycles.

    Raises:
        ConfigError: The address cannot be reached.
    """
    if not is_remote(folder):
        return _local_files_below(folder)
    with _reached(folder) as (system, path):
        found = [str(system.unstrip_protocol(name)) for name in system.find(path)]
    return sorted(address for address in found if not _hidden(address[len(folder) :]))


def files_matching(pattern: str) -> list[str]:
    """The files that match a pattern of ``*``, ``?``, ``[...]`` and ``**``, ordered; hidden ones are skipped.

    Raises:
        ConfigError: The address cannot be reached.
    """
    if is_remote(pattern):
        base = pattern_base(pattern)
        with _reached(pattern) as (system, path):
            found = [str(system.unstrip_protocol(name)) for name in system.glob(path) if system.isfile(name)]
        return sorted(address for address in found if not _hidden(address[len(base) :]))
    paths = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    once: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):  # a link back up shows a file many times
        once.setdefault(os.path.realpath(path), path)
    return sorted(once.values())


def is_pattern(address: str) -> bool:
    """Whether the address holds a wildcard; a path that exists under that very name is none."""
    return glob.has_magic(address) and (is_remote(address) or not os.path.exists(address))


def pattern_base(pattern: str) -> str:
    """The folder above the first wildcard of a pattern."""
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first])


def read_bytes(address: str) -> bytes:
    """The whole content of a file.

    Raises:
        ConfigError: There is no such file, or it cannot be read.
    """
    try:
        with _reached(address) as (system, path), cast(BinaryIO, system.open(path, "rb")) as file:
            return file.read()
    except FileNotFoundError as error:
        raise ConfigError(f"{address} does not exist") from error
    except OSError as error:
        raise ConfigError(f"{address} cannot be read: {error}") from error


@contextmanager
def local_copy(address: str) -> Iterator[Path]:
    """A path that decoders can open: the local file itself, or a copy of the remote one, removed at the end.

    A folder of images is copied whole. The copy keeps its name.

    Raises:
        OSError: The remote file is absent or cannot be read.
        ConfigError: The address cannot be reached at all.
    """
    if not is_remote(address):
        yield Path(absolute(address))
        return
    with tempfile.TemporaryDirectory(prefix="favchat-") as folder, _reached(address) as (system, path):
        copy = Path(folder, posixpath.basename(path.rstrip("/")))
        if system.isdir(path):
            copy.mkdir()
            for name in system.find(path):
                target = copy / str(name)[len(path.rstrip("/")) + 1 :]
                target.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(name, str(target))
        else:
            system.get_file(path, str(copy))
        yield copy


@contextmanager
def _reached(address: str) -> Iterator[tuple[Any, str]]:
    """The file system behind an address, and the path in it."""
    if not is_remote(address):  # fsspec would look for a chain of file systems in a name with "::"
        yield LocalFileSystem(), absolute(address)
        return
    try:
        system, path = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{address} cannot be opened: {error}") from error
    yield system, path


def _local_files_below(root: str) -> list[str]:
    found: list[str] = []
    walked = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in list(subfolders):  # a cyclic link would otherwise be followed forever
            real = os.path.realpath(os.path.join(folder, name))
            if real in walked:
                subfolders.remove(name)
            walked.add(real)
        found += [os.path.join(folder, name) for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.split("/"))


def _hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))
