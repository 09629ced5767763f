"""Face identity embeddings: the identity trunk of the face encoder, on ONNX Runtime.

The network is dlib's face recognition ResNet as face-api ported it; `favchat.model.face_pyramid` has it in PyTorch as
part of the model. Here it only distinguishes people during tracking, in processes that do not load PyTorch, so the
ONNX graph is built from the same packaged weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.config.data import FACE_MARGIN
from favchat.video.align import align_face
from favchat.video.onnx_session import onnx_session

TRUNKS_FILE = Path(__file__).parent.parent / "weights" / "face_trunks.safetensors"
SIDE = 150
"""Pixels a side of what the network sees."""
CROP = 160
"""Pixels a side of the aligned crop that this is cut from."""
FACE_WINDOW = (0.082, 0.155, 0.918, 0.991)
"""Left, top, right and bottom of what the trunks see of an aligned crop of margin 0.1, as shares of its side.

In ArcFace's 112x112 pixels it is the square of side 103 around (56, 71), and the crop one of 123.2 around (56, 62).
dlib, on whose chips the identity network was trained (`get_face_chip_details`, padding 0.25), cuts side 101 around
(57, 70), as follows from where it puts the eyes. docs/presets.md has the measurements.
"""
RGB_MEAN = (122.782, 117.001, 104.298)
LAYERS = (
    *("conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)
"""Residual layers after the stem, by their names in the weights; those with "down" halve the map."""


class FaceDescriptor(Protocol):
    """Interface of face embeddings that distinguish people."""

    def describe(self, images: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed one face in each of (N, H, W, 3) uint8 RGB images, given its (N, 5, 2) landmarks in pixels.

        Returns:
            (N, D) float32 embeddings whose Euclidean distance is small for the same person.
        """
        ...


class IdentityDescriptor:
    """The identity trunk: (N, 128) embeddings, with a distance of about 0.6 or less for the same person.

    The network is loaded at the first call. Only settings are pickled, so it can be sent to another process.

    Args:
        threads: Threads of one run; None: as many as the process may use (`favchat.runtime.threads`).
    """

    def __init__(self, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads = {threads}: need at least 1")
        self.threads = threads
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    def describe(self, images: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed one face in each of (N, H, W, 3) uint8 RGB images, given its (N, 5, 2) landmarks in pixels.

        Raises:
            ValueError: The landmarks of a face coincide.
        """
        if self._session is None:
            self._session = onnx_session(_network(TRUNKS_FILE), self.threads)
        left, top, right, bottom = (round(share * CROP) for share in FACE_WINDOW)
        batch = np.empty((len(images), 3, SIDE, SIDE), dtype=np.float32)
        for index, (image, points) in enumerate(zip(images, landmarks, strict=True)):
            crop = align_face(image, points, size=CROP, margin=FACE_MARGIN)[top:bottom, left:right]
            face = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.float32)
            batch[index] = (face - RGB_MEAN).transpose(2, 0, 1) / 255
        return np.asarray(self._session.run(None, {"faces": batch})[0], dtype=np.float32)


def _network(weights: Path) -> bytes:
    """The trunk as an ONNX model: "faces" (N, 3, SIDE, SIDE) to "descriptors" (N, 128)."""
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import load_file

    stored = load_file(weights)
    nodes, constants = [], []

    def weight(name: str) -> NDArray[np.float32]:
        tensor = stored[f"identity.{name}"]
        if tensor.dtype == np.uint8:
            tensor = tensor * stored[f"identity.{name}.scale"] + stored[f"identity.{name}.min"]
        return tensor.astype(np.float32)

    def constant(name: str, value: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def pad(source: str, ends: tuple[int, int, int, int]) -> str:
        amounts = np.asarray([0, 0, 0, 0, *ends], dtype=np.int64)
        return add("Pad", [source, constant(f"{source}.pads", amounts)], f"{source}.padded")

    def convolve(source: str, name: str, *, stride: int) -> str:
        """A convolution with dlib's learnt scale and shift folded in; strided ones are unpadded."""
        factor = weight(f"{name}.scale.weights")
        filters = weight(f"{name}.conv.filters").transpose(3, 2, 0, 1) * factor[:, None, None, None]
        bias = weight(f"{name}.conv.bias") * factor + weight(f"{name}.scale.biases")
        border = 0 if stride > 1 else filters.shape[-1] // 2
        inputs = [source, constant(f"{name}.weight", filters), constant(f"{name}.bias", bias)]
        return add("Conv", inputs, f"{name}.out", strides=[stride] * 2, pads=[border] * 4)

    x = add("Relu", [convolve("faces", "conv32_down", stride=2)], "stem")
    x = add("MaxPool", [x], "pooled", kernel_shape=[3, 3], strides=[2, 2])
    side, channels = ((SIDE - 7) // 2 + 1 - 3) // 2 + 1, 32
    for name in LAYERS:
        down = "down" in name
        inner = add("Relu", [convolve(x, f"{name}.conv1", stride=2 if down else 1)], f"{name}.inner")
        out = convolve(inner, f"{name}.conv2", stride=1)
        if down:
            # The shortcut is pooled and padded with zero channels; the convolution drops one more pixel of an even side
            lost = side // 2 - ((side - 3) // 2 + 1)
            more = weight(f"{name}.conv2.scale.biases").size - channels
            side, channels = side // 2, channels + more
            x = add("AveragePool", [x], f"{name}.short", kernel_shape=[2, 2], strides=[2, 2])
            x = pad(x, (0, more, 0, 0))
            out = pad(out, (0, 0, lost, lost))
        x = add("Relu", [add("Add", [out, x], f"{name}.sum")], f"{name}.relu")
    x = add("ReduceMean", [x, constant("axes", np.asarray([2, 3], dtype=np.int64))], "mean", keepdims=0)
    add("MatMul", [x, constant("fc", weight("fc"))], "descriptors")
    graph = helper.make_graph(
        nodes,
        "identity",
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("descriptors", TensorProto.FLOAT, ["N", 128])],
        constants,
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )
