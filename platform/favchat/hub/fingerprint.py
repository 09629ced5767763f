"""Fingerprints of models, over every byte of their files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from favchat.config import ConfigError

MLFLOW_FILES = frozenset({"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "pyfunc_model.py"})
"""What registration lays beside a model: it changes no answer."""


def model_fingerprint(name: str) -> str:
    """A string that differs if two models differ anywhere: in a weight, the processor, the chat template.

    All of a directory's files are read, except hidden ones, Markdown and those that registration adds. Hashes are not
    cached, because hashing (more than 1 GB/s) is faster than loading (300 MB took 0.21 s on one core).

    Args:
        name: A model directory or a hub name, as ``favchat.hub.names.resolve_model`` gives it.

    Returns:
        ``sha256:...`` of a directory's files with their names; of a hub name ``NAME@COMMIT``.

    Raises:
        ConfigError: The hub does not give the model, and the cache does not hold it.
        OSError: A file cannot be read.
    """
    folder = Path(name)
    if not folder.is_dir():
        # transformers takes seconds to import, and only hub names need it here.
        from transformers.utils import cached_file
        from transformers.utils.hub import extract_commit_hash

        try:
            config = cached_file(name, "config.json")
        except OSError as error:
            raise ConfigError(f"{name}: the model hub did not give it: {str(error).splitlines()[0]}") from error
        return f"{name}@{extract_commit_hash(config, None)}"
    digest = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for place, path in sorted(files.items()):
        if path.suffix == ".md" or place in MLFLOW_FILES or any(part.startswith(".") for part in Path(place).parts):
            continue
        with path.open("rb") as content:
            digest.update(f"{place} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"
