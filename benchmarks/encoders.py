"""Time and tokens of either visual stream, and the share that it has of the whole forward.

    python benchmarks/encoders.py [CONFIG] [SECTION.KEY=VALUE]... [--clips N] [--rounds N] [--threads N] [--random]

Builds the preset's untrained model: it is as fast as a trained one, and noise takes as long as faces. The whole forward
is one question about each of the clips, with its answer, as in training but without the way back. On a CPU the time is
CPU time, which other work on the machine disturbs least; on a GPU, which is used where there is one, it is wall time
with the device synchronised. All cases take turns; the median over the rounds counts. With --random the pretrained
weights are left out, for presets whose hub is out of reach.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from transformers import MobileNetV2Model

from favchat.config import ModelConfig, load
from favchat.model import FacePyramidModel, FaVChatForConditionalGeneration
from favchat.model.build import architecture, build
from favchat.model.encoders import CPU_IMAGES, face_features, pool, vision_features
from favchat.model.face_pyramid import ScaledConv
from favchat.model.processing_favchat import FaVChatProcessor
from favchat.runtime.environment import quiet_environment
from jobs.commands.settings import CONFIGS

SIDE = 256
QUESTION, ANSWER = "What is the person's expression?", "The person smiles and then looks surprised."


@dataclass(frozen=True)
class Case:
    """Something to time.

    Attributes:
        name: What the table calls it.
        run: Does it once.
        seconds: What the rounds took.
    """

    name: str
    run: Callable[[], object]
    seconds: list[float]

    @property
    def median(self) -> float:
        """Seconds of the middle round."""
        return statistics.median(self.seconds)


def noise(count: int, frames: int, face_side: int) -> list[SimpleNamespace]:
    """Clips of noise in the form that the processor takes."""
    rng = np.random.default_rng(0)
    landmarks = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]], dtype=np.float32)
    return [
        SimpleNamespace(
            frames=rng.integers(0, 256, (frames, SIDE, SIDE, 3), dtype=np.uint8),
            faces=rng.integers(0, 256, (frames, face_side, face_side, 3), dtype=np.uint8),
            timestamps=np.arange(frames) / 4,
            landmarks=np.repeat(landmarks[None], frames, axis=0),
            visible=np.ones(frames, dtype=bool),
        )
        for _ in range(count)
    ]


def without_weights(config: ModelConfig) -> ModelConfig:
    """The same architecture with random encoders; the language model keeps its shape and reads bytes."""
    found = architecture(config)
    slots = {}
    for name in ("vision", "face", "text"):
        described = getattr(found, f"{name}_config").to_dict()
        if name == "text":
            described["vocab_size"] = 258
        slots[name] = getattr(config, name).model_copy(update={"pretrained": None, "config": described})
    return config.model_copy(update=slots)


@contextmanager
def plain_pyramid() -> Iterator[None]:
    """The face pyramid as it would be written first: channels first, scale and shift as steps of their own."""
    prepare = FacePyramidModel._prepare

    def scaled(self: ScaledConv, x: Tensor) -> Tensor:
        out = self._conv_forward(x, self.weight, self.bias)
        return out * self.scale[:, None, None] + self.shift[:, None, None]

    def channels_first(self: FacePyramidModel, pixels: Tensor, side: int) -> Tensor:
        return prepare(self, pixels, side).contiguous()

    with patch.object(ScaledConv, "forward", scaled), patch.object(FacePyramidModel, "_prepare", channels_first):
        yield


def take_turns(cases: list[Case], rounds: int, device: torch.device) -> None:
    """Time every case `rounds` times, after a first round that does not count."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    for turn in range(rounds + 1):
        for case in cases:
            began = clock()
            case.run()
            if on_gpu:
                torch.cuda.synchronize()
            if turn:
                case.seconds.append(clock() - began)


def measure(
    model: FaVChatForConditionalGeneration, processor: FaVChatProcessor, clips: int, rounds: int, device: torch.device
) -> tuple[list[str], int]:
    """The lines of the report's tables, and the length of the sequences."""
    adapter = model.config.adapter_config
    chats = [processor.prompt(QUESTION)] * clips
    videos = noise(clips, processor.num_frames, processor.video_processor.face_size)
    batch = processor(text=chats, videos=videos, answers=[ANSWER] * clips).to(device)
    inner = model.model
    frames = batch["pixel_values_videos"].flatten(0, 1).to(inner.vision_model.dtype)
    faces = batch["pixel_values_faces"].flatten(0, 1).to(inner.face_model.dtype)

    def face(pixels: Tensor) -> list[Tensor]:
        return face_features(inner.face_model, pixels, adapter.face_grid, model.config.face_levels)

    def plain(pixels: Tensor) -> list[Tensor]:
        with plain_pyramid():
            return face(pixels)

    whole = Case("whole forward", lambda: model(**batch), [])
    streams = {
        "general": Case("general", lambda: vision_features(inner.vision_model, frames, adapter.vision_grid), []),
        "face": Case("face", lambda: face(faces), []),
    }
    count = len(frames)

    def all_at_once() -> Tensor:
        return pool(inner.vision_model(frames).last_hidden_state, adapter.vision_grid)

    ways = [Case("face: one a call", lambda: [face(one[None]) for one in faces], [])]
    if isinstance(inner.face_model, FacePyramidModel):
        ways.append(Case(f"face: plain, {count} a call", lambda: plain(faces), []))
        ways.append(Case("face: plain, one a call", lambda: [plain(one[None]) for one in faces], []))
    # Convolutional encoders keep maps, which need no more than pooling.
    if isinstance(inner.vision_model, MobileNetV2Model):
        ways.append(Case(f"general: plain, {count} a call", all_at_once, []))
    with torch.inference_mode():
        take_turns([whole, *streams.values(), *ways], rounds, device)

    tokens = {"general": adapter.vision_grid**2, "face": adapter.face_grid**2}
    kinds = {"general": type(inner.vision_model).__name__, "face": type(inner.face_model).__name__}
    lines = [
        "| stream | encoder | tokens a frame | ms a frame | frames/s | share of the whole forward |",
        "|---|---|---|---|---|---|",
    ]
    for name, case in streams.items():
        lines.append(
            f"| {name} | {kinds[name]} | {tokens[name]} | {case.median / count * 1e3:.2f} "
            f"| {count / case.median:,.0f} | {case.median / whole.median:.0%} |"
        )
    rest = whole.median - sum(case.median for case in streams.values())
    lines += [
        f"| rest: adapter, language model | {type(inner.language_model).__name__} | {sum(tokens.values())} "
        f"| {rest / count * 1e3:.2f} | {count / rest:,.0f} | {rest / whole.median:.0%} |",
        f"| whole forward | | {sum(tokens.values())} | {whole.median / count * 1e3:.2f} "
        f"| {count / whole.median:,.0f} | 100% |",
        "",
        "Plain is without what the library does for speed: channels last, scales folded into the face trunks' weights, "
        f"and on a CPU {CPU_IMAGES} frames a call for the general encoder.",
        "",
        "| way | ms a picture | pictures/s | against the library's |",
        "|---|---|---|---|",
    ]
    for way in ways:
        own = streams[way.name.partition(":")[0]]
        lines.append(
            f"| {way.name} | {way.median / count * 1e3:.2f} | {count / way.median:,.0f} "
            f"| {way.median / own.median:.2f}x |"
        )
    return lines, batch["input_ids"].shape[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", default="nano")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="torch threads; by default all cores")
    parser.add_argument("--random", action="store_true", help="random weights")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()

    quiet_environment()
    torch.set_num_threads(arguments.threads or os.cpu_count() or 1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    preset = CONFIGS / f"{arguments.config}.yaml"
    config = load(preset if preset.is_file() else arguments.config, arguments.overrides)
    load_before = os.getloadavg()[0]
    model, processor = build(without_weights(config.model) if arguments.random else config.model, config.seed)
    tables, length = measure(model.to(device), processor, arguments.clips, arguments.rounds, device)
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    lines = [
        f"# The two visual streams of `{arguments.config}`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}, Python {platform.python_version()}, torch {version('torch')}, "
        f"transformers {version('transformers')}, {config.model.dtype}. {arguments.clips} clips of "
        f"{processor.num_frames} frames a batch, sequences of {length} tokens; median of {arguments.rounds} rounds, "
        + ("wall time." if device.type == "cuda" else f"CPU time, {torch.get_num_threads()} thread(s); "
           f"load of the machine before the run: {load_before:.1f}."),
        "",
        *tables,
    ]  # fmt: skip
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
