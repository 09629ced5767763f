"""From published files to what transformers and ONNX Runtime load: (the file, an empty directory to write to)."""

from __future__ import annotations

from pathlib import Path


def convert_centerface(source: Path, target: Path) -> None:
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


def convert_mobilenet_v2(source: Path, target: Path) -> None:
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


def convert_smollm2(source: Path, target: Path) -> None:
    """Turn SmolLM2's quantised GGUF file into a bf16 directory with its tokenizer."""
    _convert_gguf(source, target)


def convert_qwen2(source: Path, target: Path) -> None:
    """Turn Qwen 2.5's quantised GGUF file into a bf16 directory with its tokenizer.

    The published model has one matrix for the embeddings and the head. The file holds it twice, quantised in two ways:
    the head's, which has 6 bits a weight in place of 4, is taken for both.
    """
    _convert_gguf(source, target, tie=True)


def _convert_gguf(source: Path, target: Path, *, tie: bool = False) -> None:
    """Turn a quantised GGUF file into a bf16 directory of its class with its tokenizer.

    Args:
        source: The file.
        target: An empty directory.
        tie: Whether the head's matrix becomes the embeddings' too.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, file = str(source.parent), source.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    packed = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    # The loaded object is marked as quantised and refuses to be saved: a fresh one takes its weights, without a copy.
    settings, weights = packed.config.to_dict(), packed.state_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(key, None)
    if tie:
        settings["tie_word_embeddings"] = True
        weights["model.embed_tokens.weight"] = weights["lm_head.weight"]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings), dtype=torch.bfloat16)
    model.load_state_dict(weights, strict=True, assign=True)
    model.tie_weights()
    end_of_turn = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.update(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end_of_turn, pad_token_id=end_of_turn
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
