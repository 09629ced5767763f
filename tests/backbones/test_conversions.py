"""Published weights become models that compute what the published ones do."""

from pathlib import Path

import pytest
import torch
from torch import nn

from favchat.backbones import assets
from favchat.backbones.assets import ASSETS


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
        pytest.skip(f"the asset {name} has not been fetched on this machine (favchat assets {name})")
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
@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct"])
def test_the_language_model_answers_and_stops(name: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = ready(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert tokenizer.decode([model.generation_config.eos_token_id]) == "<|im_end|>"
    question = [{"role": "user", "content": "What is the capital of France? Answer briefly."}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0]
    assert "Paris" in tokenizer.decode(output[prompt["input_ids"].shape[1] :])
    assert output[-1] == model.generation_config.eos_token_id
