"""Digests of what a step reads and writes, to tell whether it changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from favchat.config import Config, SourceConfig
from favchat.io.paths import files_below, files_matching, is_file, is_folder, is_pattern, is_remote, path_of, read_bytes


def source_digest(config: Config) -> str:
    """Of the sources: the names and sizes of their files, and the contents of lists and annotations.

    Of remote files the names alone. A video that changes and keeps its name and size is not noticed.
    """
    digest = hashlib.sha256()
    for source in config.data.sources or [config.data.source]:
        _add_source(digest, source)
    return _text(digest)


def folder_digest(address: str, folders: Iterable[str], *, contents: bool = False) -> str | None:
    """Of the Parquet files in folders of a corpus: their names and sizes, or also their contents; None without any."""
    digest, some = hashlib.sha256(), False
    for folder in folders:
        place = path_of(address) / folder
        for file in sorted(place.rglob("*.parquet"), key=str) if place.exists() else []:
            if file.name.startswith("."):
                continue
            some = True
            digest.update(f"{folder}/{file.name} {file.stat().st_size}\n".encode())
            if contents:
                digest.update(file.read_bytes())
    return _text(digest) if some else None


def file_digest(address: str) -> str | None:
    """Of a file's contents; None where there is none."""
    return "sha256:" + hashlib.sha256(read_bytes(address)).hexdigest()[:16] if is_file(address) else None


def _add_source(digest: hashlib._Hash, source: SourceConfig) -> None:
    for address in (source.path, source.annotations):
        if address is None:
            continue
        if is_file(address):
            video = source.kind == "folder" and address == source.path
            digest.update(_sized(address) if video else read_bytes(address))
        elif is_pattern(address):
            for file in files_matching(address):
                digest.update(_sized(file))
        elif is_folder(address):
            for file in files_below(address):
                digest.update(_sized(file[len(address) :], file))


def _sized(name: str, file: str | None = None) -> bytes:
    file = file or name
    size = "" if is_remote(file) else os.path.getsize(file)
    return f"{name} {size}\n".encode()


def _text(digest: hashlib._Hash) -> str:
    return f"sha256:{digest.hexdigest()[:16]}"
