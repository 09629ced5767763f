"""Pack the code that runs here into a wheel."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from favchat import __version__

PACKAGES = ("favchat", "jobs", "serve", "tune", "ui")
"""What the distribution consists of."""


def build_wheel(folder: Path) -> Path:
    """Write the packages of this process, installed or from a checkout, as a wheel for any Python 3.

    The wheel names no dependencies: a cluster's image has them, and Ray would install them again for every job. Its
    version ends in a hash of the contents, because Ray tells wheels apart by their names: without it a cluster would
    run the code that was submitted first.

    Args:
        folder: Where the wheel is written to.
    """
    files = {f"{package}/{name}": data for package in PACKAGES for name, data in _files(package)}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    version = f"{__version__}+{digest.hexdigest()[:12]}"
    info = f"favchat-{version}.dist-info"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: favchat\nVersion: {version}\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: favchat\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nfavchat = jobs.cli:main\n"
    record = "".join(f"{name},{_record_hash(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()

    wheel = folder / f"favchat-{version}-py3-none-any.whl"
    with ZipFile(wheel, "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(ZipInfo(name), data, ZIP_DEFLATED)
    return wheel


def _files(package: str) -> Iterator[tuple[str, bytes]]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package '{package}' is missing: install favchat anew")
    root = Path(spec.origin).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root).as_posix(), path.read_bytes()


def _record_hash(data: bytes) -> str:
    """The digest as a wheel's RECORD holds it, PEP 427."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
