"""ONNX Runtime sessions for the networks of `favchat.video`."""

from __future__ import annotations

import os
from typing import Any

from favchat.runtime.environment import TELEMETRY_OFF
from favchat.runtime.threads import available_threads


def onnx_session(model: str | bytes, threads: int | None) -> Any:
    """A session on the CPU.

    Args:
        model: A file name, or the serialised model.
        threads: Threads of one run; None: as many as the process may use.
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
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
