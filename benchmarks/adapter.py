"""The adapter's forward and backward pass for 1 to 32 experts at a fixed top-k: grouped, batched, a loop over experts.

    python benchmarks/adapter.py [--presets nano 2b] [--clips 8 2] [--device cuda] [--out RESULT.md]

Prints a Markdown table a preset. The sizes are those of the preset; the features are random and, as of frozen encoders,
need no gradient. A pass is forward, the router's two losses, and backward into all weights, without the optimiser.

On a CPU the time is CPU seconds of this process on one thread, the least of several passes, so that other work on the
machine counts little, and the memory is by how much the process grew at most (Linux). On a GPU the time is the median
between two events of the device, the memory what the allocator held at most; both without the weights themselves.
"Of peak" is against one product of two large square matrices in the same precision on the same machine: the operations
of a pass are two for each multiplication of a weight, in the forward pass and for each of the two gradients.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from favchat.config import load
from favchat.model import FaVChatAdapter, FaVChatAdapterConfig
from favchat.model.build import architecture
from jobs.commands.settings import CONFIGS

IMPLEMENTATIONS = ("grouped_mm", "batched_mm", "eager")
EXPERTS = (1, 2, 4, 8, 16, 32)
MOST_COPIED = 2 * 2**30
"""Bytes of weights that `batched_mm` may copy; beyond, it is left out."""


@dataclass(frozen=True)
class Measured:
    """One pass.

    Attributes:
        seconds: What it takes.
        bytes: Memory at its peak, without weights.
    """

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Case:
    """An adapter and its input."""

    config: FaVChatAdapterConfig
    clips: int
    frames: int
    device: str
    dtype: torch.dtype

    @property
    def tokens(self) -> int:
        """Visual tokens of all clips."""
        return self.clips * self.frames * (self.config.vision_grid**2 + self.config.face_grid**2)

    @property
    def operations(self) -> float:
        """Additions and multiplications of a pass."""
        config, places = self.config, self.clips * self.frames
        general, face = config.vision_grid**2, config.face_grid**2
        *shallow, deepest = config.face_sizes
        # Their input needs no gradient: forward, and the weights' gradient.
        first = general * config.vision_size * config.hidden_size + face * deepest * config.hidden_size
        first += face * sum(shallow) * (config.output_size if config.inject_levels else config.hidden_size)
        expert = 3 * config.hidden_size * config.intermediate_size * config.num_experts_per_tok
        expert += 3 * config.hidden_size * config.shared_expert_size + config.hidden_size * config.num_experts
        rest = expert * config.num_hidden_layers + config.hidden_size * config.output_size
        return 2.0 * places * (2 * first + 3 * (general + face) * rest)

    def measure(self, passes: int) -> Measured:
        """Time passes."""
        torch.manual_seed(0)
        with torch.device(self.device):
            adapter = FaVChatAdapter(self.config).to(self.dtype).train()
            batch, gradients = self._batch()

        def run() -> None:
            adapter.zero_grad()
            output = adapter(**batch)
            torch.autograd.backward(
                [output.tokens, *output.levels, output.balance_loss, output.z_loss], [*gradients, None, None]
            )

        run()
        adapter.zero_grad()
        if self.device == "cpu":
            seconds = min(cpu_seconds(run) for _ in range(passes))
            adapter.zero_grad()
            return Measured(seconds, growth(run))
        weights = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        seconds = statistics.median(gpu_seconds(run) for _ in range(passes))
        return Measured(seconds, torch.cuda.max_memory_allocated() - weights)

    def _batch(self) -> tuple[dict[str, Tensor], list[Tensor]]:
        config, places = self.config, (self.clips, self.frames)
        cells = (config.vision_grid * config.pool_window) ** 2, (config.face_grid * config.pool_window) ** 2
        batch = {
            "vision": torch.randn(*places, cells[0], config.vision_size, dtype=self.dtype),
            "face": torch.randn(*places, cells[1], sum(config.face_sizes), dtype=self.dtype),
            "face_visible": torch.ones(places, dtype=torch.bool),
            "frame_times": torch.rand(places),
            "face_geometry": torch.rand(*places, 4),
        }
        face = config.face_grid**2
        counts = [config.vision_grid**2 + face, *[face] * (len(config.face_sizes) - 1) * config.inject_levels]
        # Real numbers and not ones: a gradient of ones has no memory behind it, which the kernels refuse.
        return batch, [torch.randn(*places, count, config.output_size, dtype=self.dtype) for count in counts]


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def gpu_seconds(work: Callable[[], object]) -> float:
    """Seconds between two events on the GPU."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def growth(work: Callable[[], object]) -> int:
    """Bytes by which this process grows at most; 0 where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return 0
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = resident("VmRSS")
    work()
    return max(0, resident("VmHWM") - before)


def resident(name: str) -> int:
    """Bytes of memory of this process, `VmRSS` now or `VmHWM` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def peak(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a product of two large square matrices."""
    side = 1024 if device == "cpu" else 8192
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    clock = cpu_seconds if device == "cpu" else gpu_seconds
    clock(lambda: left @ right)
    return 2 * side**3 / min(clock(lambda: left @ right) for _ in range(5))


def cases(preset: str, clips: int, device: str, dtype: torch.dtype, top_k: int) -> list[Case]:
    """The preset's adapter with each count of experts."""
    settings = load(CONFIGS / f"{preset}.yaml").model
    found = []
    for experts in EXPERTS:
        config = architecture(settings).adapter_config
        config.num_experts, config.num_experts_per_tok = experts, min(top_k, experts)
        found.append(Case(config, clips, settings.num_frames, device, dtype))
    return found


def fits(case: Case, implementation: str) -> bool:
    """Whether an implementation is measured."""
    config = case.config
    pair = 3 * config.hidden_size * config.intermediate_size * case.dtype.itemsize
    return implementation != "batched_mm" or case.tokens * config.num_experts_per_tok * pair < MOST_COPIED


def table(preset: str, found: list[Case], passes: int, top_speed: float) -> list[str]:
    """Measure one preset: its lines of Markdown."""
    config, first = found[0].config, found[0]
    results: dict[tuple[int, str], Measured] = {}
    for case in found:
        for implementation in filter(lambda name, case=case: fits(case, name), IMPLEMENTATIONS):
            case.config._experts_implementation = implementation
            results[case.config.num_experts, implementation] = case.measure(passes)
    lines = [
        f"## `{preset}`",
        "",
        f"{first.clips} clips of {first.frames} frames, {first.tokens:,} tokens; width {config.hidden_size}, "
        f"{config.num_hidden_layers} layer(s) of experts of {config.intermediate_size}. One expert is top-1.",
        "",
        "| experts | grouped (ms) | batched (ms) | loop (ms) | loop / grouped | grouped to 2 experts "
        "| grouped (MB) | batched (MB) | loop (MB) | grouped: tokens/s | of peak |",
        "|" + "---|" * 11,
    ]
    for case in found:
        count = case.config.num_experts
        grouped, batched, loop = (results.get((count, name)) for name in IMPLEMENTATIONS)
        two = results[2, "grouped_mm"]
        if grouped is None or loop is None:
            continue
        cells = [f"{count}", *(f"{1e3 * one.seconds:.1f}" if one else "-" for one in (grouped, batched, loop))]
        cells += [f"{loop.seconds / grouped.seconds:.2f}x", f"{grouped.seconds / two.seconds:.2f}x"]
        cells += [f"{one.bytes / 1e6:.0f}" if one else "-" for one in (grouped, batched, loop)]
        cells += [f"{case.tokens / grouped.seconds:,.0f}", f"{case.operations / grouped.seconds / top_speed:.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--presets", nargs="+", default=["nano", "2b"])
    parser.add_argument("--clips", nargs="+", type=int, default=[8, 2], help="clips a pass, for each preset")
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: float32 on CPU, bfloat16 on GPU")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    on_gpu = arguments.device == "cuda"
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if on_gpu else "float32"))
    top_speed = peak(arguments.device, dtype)
    place = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, one thread of {os.cpu_count()} cores"
    lines = [
        "# The adapter's experts",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {place}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {version('transformers')}, {dtype}, top-{arguments.top_k}. Peak: {top_speed / 1e12:.3g} TFLOP/s."
        ' A pass is forward and backward. "-": more than '
        f"{MOST_COPIED / 2**30:.0f} GiB of copied weights, not run.",
        "",
    ]
    for preset, clips in zip(arguments.presets, arguments.clips, strict=True):
        found = cases(preset, clips, arguments.device, dtype, arguments.top_k)
        lines += table(preset, found, arguments.passes, top_speed)
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
