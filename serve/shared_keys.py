"""Attention with a mask on CPUs: without a copy of the keys and values for each head that shares them."""

from __future__ import annotations

import os

import torch

FORCED = "TRANSFORMERS_SDPA_FORCE_GQA"
"""Read by transformers at each call: whether torch is told which heads share their keys, also where there is a mask."""


def share_keys_on_cpu(device: torch.device) -> None:
    """Have all attention of this process share keys and values among heads, if the device is a CPU.

    Transformers copies them for each head where there is a mask, since CUDA's quick kernels know either masks or shared
    keys. The CPU's know both: the same values, in a third of the time for 16 requests of 190 tokens.
    """
    if device.type == "cpu":
        os.environ.setdefault(FORCED, "1")
