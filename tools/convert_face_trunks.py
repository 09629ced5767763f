"""Convert face-api's expression and identity networks to the safetensors file that the package ships.

The values stay as they are published: quantised tensors keep their uint8 values next to the float64 scalars
``NAME.scale`` and ``NAME.min`` (value = q * scale + min), the others stay float32. Layouts stay TensorFlow's: filters
are (height, width, in, out).

    npm pack @vladmandic/face-api@1.7.15
    python tools/convert_face_trunks.py vladmandic-face-api-1.7.15.tgz platform/favchat/weights
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tarfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SOURCE = "@vladmandic/face-api 1.7.15"
SHA256 = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
TRUNKS = {"expression": "face_expression_model", "identity": "face_recognition_model"}


def read_trunk(archive: tarfile.TarFile, model: str) -> dict[str, np.ndarray]:
    """Read one network of the package.

    Args:
        archive: The open npm tarball.
        model: The file name without its ending.

    Returns:
        Tensors by name, parts joined with dots: uint8 (quantised) or float32, and the float64 scalars of the former.
    """
    manifest = json.loads(_member(archive, f"package/model/{model}-weights_manifest.json"))
    blob = _member(archive, f"package/model/{model}.bin")
    tensors: dict[str, np.ndarray] = {}
    offset = 0
    for weight in manifest[0]["weights"]:
        name, shape = weight["name"].replace("/", "."), weight["shape"]
        quantization = weight.get("quantization")
        dtype = np.dtype(quantization["dtype"] if quantization else weight["dtype"])
        count = math.prod(shape)
        tensors[name] = np.frombuffer(blob, dtype, count, offset).reshape(shape).copy()
        offset += count * dtype.itemsize
        if quantization:
            tensors[f"{name}.scale"] = np.array(quantization["scale"], np.float64)
            tensors[f"{name}.min"] = np.array(quantization["min"], np.float64)
    if offset != len(blob):
        raise ValueError(f"{model}.bin holds {len(blob)} bytes, its manifest describes {offset}")
    return tensors


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file of the package")
    return file.read()


def convert(package: Path, out: Path) -> Path:
    """Write ``face_trunks.safetensors`` and ``LICENSE-face-api.txt`` to ``out``.

    Args:
        package: The npm tarball.
        out: An existing folder.

    Returns:
        The safetensors file.

    Raises:
        ValueError: The tarball is not the published one.
    """
    if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{package} is not {SOURCE} as published: its sha256 is not {SHA256}")
    with tarfile.open(package) as archive:
        tensors = {
            f"{trunk}.{name}": tensor
            for trunk, model in TRUNKS.items()
            for name, tensor in read_trunk(archive, model).items()
        }
        licence = _member(archive, "package/LICENSE")
    target = out / "face_trunks.safetensors"
    # One entry only: safetensors writes several in random order, and the file should come out the same every time.
    save_file(tensors, target, metadata={"source": f"npm {SOURCE}, sha256 {SHA256}, MIT licence"})
    (out / "LICENSE-face-api.txt").write_bytes(licence)
    return target


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Convert face-api's networks to safetensors.")
    parser.add_argument("package", type=Path, help="the npm tarball vladmandic-face-api-1.7.15.tgz")
    parser.add_argument("out", type=Path, help="the folder to write to")
    arguments = parser.parse_args()
    written = convert(arguments.package, arguments.out)
    print(f"{written}: {written.stat().st_size / 1e6:.2f} MB")
