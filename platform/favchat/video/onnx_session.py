"""ONNX Runtime sessions for the networks of `favchat.video`."""

from __future__ import annotations

import os
from typing import Any

from favchat.errors import UserError
from favchat.runtime.environment import TELEMETRY_OFF
from favchat.runtime.threads import available_threads


class NetworkError(UserError, ValueError):
    """A file that holds no network that ONNX Runtime can run; the message names it and says what to do."""


def onnx_session(model: str | bytes, threads: int | None) -> Any:
    """A session on the CPU.

    Args:
        model: A file name, or the serialised model.
        threads: Threads of one run; None: as many as the process may use.

    Raises:
        NetworkError: The file is damaged or no ONNX model.
    """
    # Read when it is imported; who uses this package as a library has not switched it off.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", TELEMETRY_OFF["ORT_DISABLE_TELEMETRY"])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads sleep. By default they spin, which doubles the CPU time and on a busy machine slows the working
    # threads (docs/choices.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Otherwise memory is planned and kept for every input shape, of which videos have many.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes share no base of their own
        name = model if isinstance(model, str) else "a network"
        raise NetworkError(
            f"{name}: ONNX Runtime cannot read this network; one that was fetched is fetched anew once its folder is "
            f"deleted ({str(error).splitlines()[0]})"
        ) from error
