"""How the networks of `favchat.video` run on ONNX Runtime."""

from __future__ import annotations

from typing import Any

from favchat.runtime.threads import available_threads


def onnx_session(model: str | bytes, threads: int | None) -> Any:
    """A session on the CPU.

    Args:
        model: A file's name, or the model itself.
        threads: Threads of one run; None: as many as the process may have.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait for work sleep. By default they spin, which takes twice the CPU time, and on a busy machine the
    # time from those that have the work (docs/choices.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # It plans memory for every shape of input it meets; videos have many.
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
