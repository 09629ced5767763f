"""Where a training step's time goes, by part of the model, forward and backward.

    python benchmarks/training_profile.py [CONFIG] [--stage words] [--samples 32] [--accumulate 1] [--steps 4]
        [--attention NAME] [--out RESULT.md]

The step that `favchat train` runs, in this process, without Ray and DeepSpeed, on the sample clips and cached features,
as benchmarks/training.py prepares them. Hooks take the time; medians of all steps but the first. --attention eager
takes another kind of attention than the stage would. The peak of the process's memory (resident, with the mapped files
of weights) is told too.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training import own_stepper, prepared

from favchat.model import FaVChatForConditionalGeneration
from favchat.runtime.environment import quiet_environment
from favchat.training.batches.stage_source import StageSource
from favchat.training.features.feature_encoder import compute_features


class Timer:
    """Seconds that modules take, by the part of the model that they belong to and the direction."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)

    def watch(self, part: str, module: nn.Module) -> None:
        """Count a module, none of whose own modules is counted, to a part.

        Its backward pass is from the gradient of what it returned to that of what it was given.
        """
        began: dict[str, float] = {}

        def begin(direction: str) -> None:
            began[direction] = time.perf_counter()

        def end(direction: str) -> None:
            if direction in began:
                self.seconds[part, direction] += time.perf_counter() - began.pop(direction)

        def before(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            on_gradient([*given, *named.values()], partial(end, "backward"))
            begin("forward")

        def after(_: nn.Module, given: tuple[Any, ...], returned: Any) -> None:
            end("forward")
            on_gradient(returned if isinstance(returned, tuple) else [returned], partial(begin, "backward"))

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.register_forward_hook(after)


def on_gradient(values: Iterable[Any], act: Callable[[], None]) -> None:
    """Act when the gradient of the first tensor that has one is known."""
    first = next((value for value in values if isinstance(value, Tensor) and value.requires_grad), None)
    if first is not None:
        first.register_hook(lambda _: act())


def watched(model: FaVChatForConditionalGeneration) -> Timer:
    """A timer of all parts of a model with a decoder of Llama's layout."""
    timer = Timer()
    timer.watch("adapter and attribute head", model.model.adapter)
    timer.watch("vocabulary's logits", model.lm_head)
    for layer in model.model.language_model.layers:
        timer.watch("decoder: attention", layer.self_attn)
        timer.watch("decoder: feed-forward", layer.mlp)
        timer.watch("decoder: norms", layer.input_layernorm)
        timer.watch("decoder: norms", layer.post_attention_layernorm)
    return timer


def profiled(
    source: StageSource, steps: int, attention: str | None
) -> tuple[dict[tuple[str, str], float], float, float]:
    """Median seconds of each part and direction, of a whole step, and its tokens without padding."""
    stepper = own_stepper(source.config, source.stage, steps + 1, attention)
    engine: Any = stepper._engine
    timer = watched(engine.module)
    parts: dict[tuple[str, str], list[float]] = defaultdict(list)
    whole, tokens = [], []
    count = source.stage.accumulate
    streams = [source.read_batches(part, count, 0) for part in range(count)]
    for number, batches in enumerate(islice(zip(*streams, strict=True), steps + 1), 1):
        timer.seconds.clear()
        began = time.perf_counter()
        stepper.step(number, batches)
        if number > 1:
            whole.append(time.perf_counter() - began)
            tokens.append(sum(batch.tokens for batch in batches))
            for name, seconds in timer.seconds.items():
                parts[name].append(seconds)
    return (
        {name: statistics.median(found) for name, found in parts.items()},
        statistics.median(whole),
        sum(tokens) / steps,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="nano", help="a preset or a YAML file")
    parser.add_argument("--stage", default="words", help="one of its stages")
    parser.add_argument("--samples", type=int, default=32, help="samples a step")
    parser.add_argument("--accumulate", type=int, default=1, help="parts of a step, one after the other")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--attention", help="such as eager or sdpa; by default what the stage takes")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    quiet_environment()
    threads = max(1, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as name:
        config = prepared(Path(name), given.config, given.stage, given.samples, given.steps + 1)
        stage = config.training.stages[0].model_copy(update={"accumulate": given.accumulate})
        source = StageSource(config, stage, None)
        source.features = compute_features(config, stage, None, source.index.files)
        parts, whole, tokens = profiled(source, given.steps, given.attention)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    parted = f" in {given.accumulate} parts" if given.accumulate > 1 else ""
    lines = [
        f"# Where a step of `{given.config}`, stage {given.stage}, spends its time",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {threads} cores, torch {version('torch')}, transformers "
        f"{version('transformers')}; load of the machine {os.getloadavg()[0]:.1f}. {given.samples} samples, "
        f"{tokens:,.0f} tokens a step{parted}, {whole:.2f} s; attention: "
        f"{given.attention or 'the stage takes its own'}; peak memory {memory:.1f} GiB.",
        "",
        "| part | forward | backward | of the step |",
        "|---|---|---|---|",
    ]
    names = dict.fromkeys(part for part, _ in parts)
    for part in names:
        forward, backward = parts.get((part, "forward"), 0.0), parts.get((part, "backward"), 0.0)
        lines.append(f"| {part} | {forward:.2f} s | {backward:.2f} s | {(forward + backward) / whole:.0%} |")
    rest = whole - sum(parts.values())
    lines.append(f"| the rest: embedding, residuals, loss, clipping, AdamW | | {rest:.2f} s | {rest / whole:.0%} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
