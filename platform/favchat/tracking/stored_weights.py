"""Stores a model directory so that weights which another one has too take no room a second time.

A stage trains an adapter of some megabytes beside a language model and encoders of hundreds that stay as they are. The
stored directory has its weights by part, in the layout of a sharded checkpoint, which every loader knows; a part's file
is named by the digest of its bytes in a folder that all stored models share, and linked from there. Deleting a stored
model never harms another one; what nobody links any more (``find -links 1``) may be deleted.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from favchat.io.files import link_or_copy, write_bytes_whole, write_text_whole

INDEX = "model.safetensors.index.json"
WHOLE = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
PARTS = ("language_model", "vision_model", "face_model", "adapter")
"""Parts of the model by a word of their tensors' names; low-rank updates are a part of their own."""


def store_model(source: Path, target: Path, shared: Path) -> None:
    """Store a model directory.

    Args:
        source: The directory.
        target: The new one, which loads as the old one does.
        shared: The folder of the parts, on the same disk.

    Raises:
        OSError: It cannot be written.
    """
    files = sorted(path for path in source.iterdir() if WHOLE.fullmatch(path.name))
    target.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in files} | {INDEX}
    for path in source.iterdir():
        if path.is_dir():
            shutil.copytree(path, target / path.name, copy_function=link_or_copy, dirs_exist_ok=True)
        elif path.name not in names:
            link_or_copy(str(path), str(target / path.name))
    pieces = [piece for file in files for piece in _pieces(file, shared)]
    weight_map: dict[str, str] = {}
    total = 0
    for number, (stored, tensors) in enumerate(pieces, 1):
        name = f"model-{number:05}-of-{len(pieces):05}.safetensors"
        link_or_copy(str(stored), str(target / name))
        weight_map |= dict.fromkeys(tensors, name)
        total += sum(tensors.values())
    if pieces:
        content = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        write_text_whole(target / INDEX, json.dumps(content, indent=2) + "\n")


def _pieces(file: Path, shared: Path) -> list[tuple[Path, Mapping[str, int]]]:
    """A weights file by part: each piece's file in the shared folder, and its tensors with their bytes.

    At most one part is in memory at a time.
    """
    # Torch takes seconds to import, and most who track runs register no model.
    from safetensors import safe_open
    from safetensors.torch import save

    shared.mkdir(parents=True, exist_ok=True)
    found: list[tuple[Path, Mapping[str, int]]] = []
    with safe_open(file, framework="pt") as weights:
        metadata = weights.metadata() or {"format": "pt"}
        groups: dict[str, list[str]] = {}
        for name in sorted(weights.keys()):
            groups.setdefault(_part(name), []).append(name)
        for names in groups.values():
            tensors = {name: weights.get_tensor(name) for name in names}
            content = save(tensors, metadata)
            stored = shared / f"{hashlib.sha256(content).hexdigest()}.safetensors"
            if not stored.is_file():
                write_bytes_whole(stored, content)
            found.append((stored, {name: value.nbytes for name, value in tensors.items()}))
    return found


def _part(name: str) -> str:
    if ".lora_" in name:
        return "lora"
    return next((part for part in PARTS if part in name.split(".")), "rest")
