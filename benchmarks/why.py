"""Whether the frames that are said to matter for an answer do: a deletion test.

    python benchmarks/why.py VIDEOS [MODEL] [--limit 60] [--words 6] [--out]

VIDEOS is a folder of videos of faces. Each is asked some questions; where the language model writes the answer, or
goes on after a Yes or No, only so many videos as `--words` says, as that takes longest. The model's own answers are
explained by hiding one frame after the other (`POST /v1/videos/{id}/why`), in each of several ways of hiding. Then
the sampled frames around the frame with the largest weight, which no other of the model's frames is nearer to, are
cut out of the clip and the whole model looks at what is left; so with each other frame. The cut is the same for all
ways of hiding, and knows nothing of them. A way is good where the cut of the frame that it holds for the most
important makes the answer less likely than the cut of a frame chosen at random does.

Prints, for each way: the mean loss of likelihood (nats) by the cut of its first frame, of a random one and of its last
one, the 95 % interval of the first difference by drawing videos, in how many answers the first loses more than the mean
of all, and the rank correlation of its weights with the losses. Answers that no cut changes by 0.01 nats are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from favchat.config import ServeConfig
from favchat.face_scores.values import Calibration
from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.model.answers_by_score import is_whole
from favchat.model.hidden_frames import hide_frames
from favchat.model.processing_favchat import PIXELS
from favchat.runtime.ray_cluster import quiet_environment
from favchat.video import ProcessedClip, VideoError
from favchat.video.seen_frames import picked_frames
from serve.chat import Chat
from serve.encoder import adapted, video_features
from serve.engine import Engine
from serve.frame_effects import likelihoods
from serve.store import VideoStore
from serve.view import View

QUESTIONS = (
    "What is the person's expression?",
    "Describe the person.",
    "Is the person smiling?",
    "Is the person's mouth open?",
    "Is the person looking at the camera?",
    "What is in the background?",
)
LEAST = 0.01
"""Nats by which some cut has to change an answer."""
DRAWS = 2000
WAYS = ("mean of the others", "nearest frame", "no face")


def hidden(way: str, video: Mapping[str, Tensor], frames: Sequence[Collection[int]]) -> dict[str, Tensor]:
    """A row for each set of frames, hidden in one of the ways; the first one is that of the server."""
    rows = hide_frames(video, frames)
    if way == WAYS[0]:
        return rows
    times = video["frame_times"][0]
    for row, numbers in enumerate(frames):
        others = torch.tensor([number for number in range(len(times)) if number not in numbers])
        for number in numbers:
            nearest = others[(times[others] - times[number]).abs().argmin()]
            if way == WAYS[1]:
                for name in ("vision_features", "face_features", "face_visible", "face_geometry"):
                    rows[name][row, number] = video[name][0, nearest]
            else:
                rows["face_visible"][row, number] = False
    return rows


def cut_out(clip: ProcessedClip, frame: int, picked: Sequence[int]) -> ProcessedClip:
    """A clip without the sampled frames that are nearer to one of the model's frames than to its others."""
    distance = np.abs(np.arange(len(clip.frames))[:, None] - np.asarray(picked)[None])
    kept = distance.argmin(axis=1) != frame
    names = ("frames", "faces", "timestamps", "boxes", "landmarks", "scores", "visible")
    return replace(clip, **{name: getattr(clip, name)[kept] for name in names})


@dataclass(frozen=True)
class Explained:
    """One answer: its video, the loss by each cut, and the weights of each way."""

    video: str
    question: str
    by: str
    losses: np.ndarray
    weights: dict[str, np.ndarray]


class Explainer:
    """Asks and explains."""

    def __init__(self, model: Any, processor: Any, calibration: Calibration, folder: str) -> None:
        self.model, self.processor, self.calibration = model, processor, calibration
        self.store = VideoStore(folder, version="none", max_videos=2)
        self.engine = Engine(model, processor, self.store, ServeConfig(max_videos=2))
        specification = processor.clip_specification
        self.read = lambda path: specification.read(path, specification.make_detector())[0]

    def explain(self, path: Path, words: bool) -> Iterator[Explained]:
        """Each answer about a video; without `words` those alone that the scores decide, and a Yes or No by itself."""
        clip = self.read(path)
        count = self.processor.num_frames
        picked = picked_frames(len(clip.frames), count).tolist()
        if len(set(picked)) < count or not clip.visible.any():
            return
        cuts = [cut_out(clip, frame, picked) for frame in range(count)]
        if any(len(one.frames) < count or not one.visible.any() for one in cuts):
            return
        whole, *without = video_features(self.model, self.processor, [clip, *cuts], self.calibration)
        by_way = self._hidden(clip, count)
        with path.open("rb") as file:
            view = View(self.store.add(file))
        self.store.derived.write(self.store.derived.features(view), partial(save_file, whole))
        for question in QUESTIONS:
            content = [{"type": "video"}, {"type": "text", "text": question}]
            chat = Chat([{"role": "user", "content": content}], [view], max_tokens=24 if words else 1)
            start, _ = self.engine.start(chat, whole["scores"].tolist())
            if start is None and not words:
                continue
            answer = start if is_whole(start) else asyncio.run(self._answer(chat))
            rows = [whole, *without, *(row for way in WAYS for row in by_way[way])]
            found = asyncio.run(likelihoods(self.engine, chat, answer, rows))
            first, *rest = found.logprobs
            losses = first - np.array(rest).reshape(1 + len(WAYS), count)
            yield Explained(path.name, question, found.by, losses[0], dict(zip(WAYS, losses[1:], strict=True)))

    async def _answer(self, chat: Chat) -> str:
        return "".join([piece.text async for piece in self.engine.generate(chat)])

    @torch.inference_mode()
    def _hidden(self, clip: ProcessedClip, count: int) -> dict[str, list[dict[str, Tensor]]]:
        inputs = self.processor.video_inputs([clip])
        inputs |= self.model.model.encode_frames(*(inputs.pop(name) for name in PIXELS))
        frames = [{frame} for frame in range(count)]
        return {
            way: adapted(self.model, self.processor, hidden(way, inputs, frames), self.calibration, [()] * count)
            for way in WAYS
        }


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along the last axis."""
    return values.argsort(axis=-1).argsort(axis=-1).astype(float)


def row(name: str, way: str, found: Sequence[Explained]) -> str:
    """A line of the table."""
    first = np.array([one.losses[one.weights[way].argmax()] for one in found])
    last = np.array([one.losses[one.weights[way].argmin()] for one in found])
    mean = np.array([one.losses.mean() for one in found])
    videos = sorted({one.video for one in found})
    of_video = [[n for n, one in enumerate(found) if one.video == video] for video in videos]
    gain, drawn, generator = first - mean, [], np.random.default_rng(0)
    for _ in range(DRAWS):
        chosen = [n for number in generator.integers(len(videos), size=len(videos)) for n in of_video[number]]
        drawn.append(gain[chosen].mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    pairs = [(ranks(one.weights[way]), ranks(one.losses)) for one in found]
    correlation = np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])
    return (
        f"| {name} | {way} | {len(found)} | {first.mean():.3f} | {mean.mean():.3f} | {last.mean():.3f} | "
        f"{gain.mean():.3f} ({low:.3f} to {high:.3f}) | {(first > mean).mean():.0%} | {correlation:.2f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("videos", type=Path)
    parser.add_argument("model", nargs="?", default=SHIPPED)
    parser.add_argument("--limit", type=int, default=60, help="videos, evenly chosen of those in the folder")
    parser.add_argument("--words", type=int, default=6, help="of them, those also asked for the language model's words")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", action="store_true", help="also write benchmarks/results/DATE-MACHINE-why.md")
    arguments = parser.parse_args()
    quiet_environment()
    torch.set_num_threads(arguments.threads)
    place = resolve_model(arguments.model)
    paths = sorted(path for path in arguments.videos.iterdir() if path.suffix in (".mp4", ".webm", ".mov", ".avi"))
    paths = [paths[n] for n in sorted({int(n) for n in np.linspace(0, len(paths) - 1, arguments.limit)})]
    found: list[Explained] = []
    with tempfile.TemporaryDirectory() as folder:
        explainer = Explainer(*load(place), Calibration.read(place), folder)
        spoken = {int(n) for n in np.linspace(0, len(paths) - 1, arguments.words)}
        for number, path in enumerate(paths):
            try:
                found += explainer.explain(path, number in spoken)
            except VideoError as error:
                print(f"left out: {error}", flush=True)
        explainer.engine.close()
    kept = [one for one in found if np.abs(one.losses).max() >= LEAST]
    lines = [
        "# Frames that matter for an answer",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, torch "
        f"{version('torch')}, transformers {version('transformers')}; {arguments.model}, "
        f"{len({one.video for one in kept})} videos, {len(kept)} of {len(found)} answers that a cut changes; losses of "
        "log-likelihood in nats.",
        "",
        "| answers by | hidden by | answers | cut of the first | of a random one | of the last | first - random "
        "| first above random | rank correlation |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for by in ("scores", "both", "words", "all"):
        chosen = [one for one in kept if by in (one.by, "all")]
        lines += [row(by, way, chosen) for way in WAYS if chosen]
    print("\n".join(lines))
    if arguments.out:
        name = f"{datetime.now(UTC):%Y-%m-%d}-{os.cpu_count()}core-cpu-why.md"
        (Path(__file__).parent / "results" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
