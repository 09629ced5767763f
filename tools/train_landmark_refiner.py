"""Teach the landmark refiner what the face detector finds.

    python tools/train_landmark_refiner.py FOLDER... [--minutes 35] [--out FILE]

FOLDERs hold videos. Each face that the detector finds in them is cut out with twice its surroundings; the network then
sees crops of it that are shifted, turned, scaled, darkened and blurred at random, and learns where the detector's
landmarks lie in them. A twentieth of the videos is kept apart and measured at the end. The shipped file was made from
`faces_in_motion/train` and `stills_in_motion/train` (docs/sources.md) in 35 minutes on two busy cores.
"""

from __future__ import annotations

import argparse
import copy
import math
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from favchat.runtime.environment import quiet_environment
from favchat.video import CenterFaceDetector, VideoError, read_frames
from favchat.video.align import template_landmarks, to_crop
from favchat.video.landmark_refiner import MARGIN, NETWORK_FILE, SIDE

AROUND = 2 * SIDE
"""Pixels a side of what is cut out, of which the aligned crop is the middle."""
LEAST_SIZE = 20
"""Pixels a side of the smallest face that is learnt from."""
HELD_OUT = 20
"""Every so manieth video is kept apart."""
MIRRORED = [1, 0, 2, 4, 3]
"""The landmarks' order in a mirror."""
NO_FACE = 0.07
"""Share of crops that are moved so far that there is no face in their middle."""
FAR, NEAR = 0.13, 0.045
"""Standard deviations of how crops are moved, as shares of their side, in six of ten cases and else."""
BATCH = 128
RATE = 2e-3
WARM_UP = 200
PRINTED = 160
"""Errors are told in pixels of a crop of this side."""


@dataclass(frozen=True)
class Faces:
    """N faces.

    Attributes:
        crops: (N, AROUND, AROUND, 3) uint8.
        landmarks: (N, 5, 2) float32, pixels of the crops.
        videos: (N,) the number of the video that each is from.
    """

    crops: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    videos: NDArray[np.intp]

    def of(self, chosen: NDArray[np.bool_]) -> Faces:
        """Some of them."""
        return Faces(self.crops[chosen], self.landmarks[chosen], self.videos[chosen])


def cut_out(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A face with its surroundings, and its landmarks in them."""
    wide = AROUND / SIDE * (1 + MARGIN) - 1
    turn, shift = to_crop(landmarks, AROUND, wide)
    larger = max(1, math.ceil(1 / abs(turn) - 0.5))
    shift += (turn - 1) * complex(0.5, 0.5)
    matrix = np.asarray([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    crop = cv2.warpAffine(image, matrix * larger, (AROUND * larger, AROUND * larger), flags=cv2.INTER_LINEAR)
    if larger > 1:
        crop = cv2.resize(crop, (AROUND, AROUND), interpolation=cv2.INTER_AREA)
    points = turn * (landmarks[:, 0] + 1j * landmarks[:, 1]) + shift
    return np.asarray(crop, np.uint8), np.stack([points.real, points.imag], axis=1).astype(np.float32)


def found_faces(folders: Sequence[Path]) -> Faces:
    """All faces of all videos.

    Raises:
        SystemExit: There is none.
    """
    detector = CenterFaceDetector()
    found, videos = [], []
    for number, file in enumerate(sorted(file for folder in folders for file in folder.rglob("*.*"))):
        try:
            images = read_frames(file, fps=8.0, max_frames=32, max_side=640).images
        except VideoError:
            continue
        for image, faces in zip(images, detector.detect(images), strict=True):
            sides = np.sqrt(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1))
            for points in faces.landmarks[sides >= LEAST_SIZE]:
                found.append(cut_out(image, points))
                videos.append(number)
    if not found:
        raise SystemExit("no face in these videos")
    crops, landmarks = zip(*found, strict=True)
    return Faces(np.stack(crops), np.stack(landmarks), np.asarray(videos))


def crops_of(faces: Faces, chosen: NDArray[np.intp], random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Crops at random around some faces: (B, 3, SIDE, SIDE), (B, 5, 2) off the template, (B,) whether there is one."""
    images = np.empty((len(chosen), SIDE, SIDE, 3), np.uint8)
    shifts = np.empty((len(chosen), 5, 2), np.float32)
    there = np.ones(len(chosen), np.float32)
    template = template_landmarks(SIDE, MARGIN).astype(np.float32)
    for place, index in enumerate(chosen):
        spread = FAR if random.random() < 0.6 else NEAR
        scale, angle = math.exp(random.normal() * 0.6 * spread), random.normal() * 1.6 * spread
        move = random.normal(size=2) * 0.6 * spread * SIDE
        if random.random() < NO_FACE:
            there[place] = 0
            way = random.random() * 2 * math.pi
            move = random.uniform(0.6, 1.0) * SIDE * np.array([math.cos(way), math.sin(way)])
            scale = math.exp(random.normal() * 0.3)
        cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
        matrix[:, 2] = SIDE / 2 + move - matrix[:, :2] @ np.array([AROUND / 2, AROUND / 2])
        image = cv2.warpAffine(faces.crops[index], matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
        points = (faces.landmarks[index] @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        if random.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            points = np.stack([SIDE - 1 - points[:, 0], points[:, 1]], axis=1)[MIRRORED]
        images[place], shifts[place] = worn(image, random), points - template
    return lit(torch.from_numpy(images)), torch.from_numpy(shifts), torch.from_numpy(there)


def worn(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """A crop as a small, blurred or grey picture would give it."""
    how = random.random()
    if how < 0.25:
        small = int(random.choice([24, 32, 48]))
        image = cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (SIDE, SIDE))
    elif how < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 2))
    if random.random() < 0.2:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    return np.asarray(image, np.uint8)


def lit(images: Tensor) -> Tensor:
    """Crops in other light, and with noise, as the network takes them."""
    count = len(images)
    values = images.permute(0, 3, 1, 2).float()
    values = (values - 128) * torch.empty(count, 1, 1, 1).uniform_(0.6, 1.3) + 128
    values = values + torch.empty(count, 3, 1, 1).uniform_(-12, 12) + torch.empty(count, 1, 1, 1).uniform_(-40, 40)
    values = values + torch.randn_like(values) * torch.empty(count, 1, 1, 1).uniform_(0, 6)
    return (values.clamp(0, 255) - 128) / 64


def convolution(inputs: int, outputs: int, *, stride: int = 1, side: int = 3, active: bool = True) -> nn.Sequential:
    """A convolution, batch statistics, and what makes it more than linear."""
    layers = [nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if active else []))


class Residual(nn.Module):
    """Two convolutions and a way around them (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(convolution(width, width), convolution(width, width, active=False))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, width, h, w) to the same."""
        return torch.relu(maps + self.inner(maps))


class Network(nn.Module):
    """Crops (B, 3, SIDE, SIDE) to shifts off the template (B, 5, 2) and the odds of a face (B,), as a logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(3, 16, stride=2, side=5),
            *(convolution(16, 32, stride=2), Residual(32)),
            *(convolution(32, 64, stride=2), Residual(64)),
            *(convolution(64, 96, stride=2), Residual(96)),
            nn.Flatten(),
            nn.Linear(96 * (SIDE // 16) ** 2, 96),
            nn.ReLU(inplace=True),
            nn.Linear(96, 11),
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Shifts and odds."""
        values = self.body(crops)
        return values[:, :10].view(-1, 5, 2) * 4, values[:, 10]


def trained(faces: Faces, minutes: float) -> Network:
    """The mean over the last thousand steps of a network that learns for some minutes."""
    network = Network().to(memory_format=torch.channels_last)
    mean = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    batches: queue.Queue[tuple[Tensor, Tensor, Tensor]] = queue.Queue(4)

    def feed() -> None:
        random = np.random.default_rng(0)
        while True:
            batches.put(crops_of(faces, random.choice(len(faces.crops), BATCH), random))

    threading.Thread(target=feed, daemon=True).start()
    began, step = time.monotonic(), 0
    while (done := (time.monotonic() - began) / 60 / minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, step / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * done))
        crops, shifts, there = batches.get()
        with torch.autocast("cpu", torch.bfloat16):
            found, odds = network(crops.to(memory_format=torch.channels_last))
        apart = (found.float() - shifts).norm(dim=2).mean(dim=1)
        loss = (apart * there).sum() / there.sum()
        loss = loss + nn.functional.binary_cross_entropy_with_logits(odds.float(), there)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        kept = min(0.999, step / (step + 50))
        for one, now in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
            if one.dtype.is_floating_point:
                one.lerp_(now, 1 - kept)
            else:
                one.copy_(now)
    return mean


@torch.inference_mode()
def errors(network: Network, faces: Faces) -> NDArray[np.float32]:
    """How far the landmarks lie from the detector's, in pixels of a crop of `PRINTED`, where there is a face."""
    random, found = np.random.default_rng(1), []
    for begin in range(0, len(faces.crops), BATCH):
        chosen = np.arange(begin, min(begin + BATCH, len(faces.crops)))
        crops, shifts, there = crops_of(faces, chosen, random)
        found.append((network(crops)[0] - shifts).norm(dim=2)[there > 0].flatten())
    return torch.cat(found).numpy() * (PRINTED / SIDE)


def main() -> None:
    """Read, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of videos")
    parser.add_argument("--minutes", type=float, default=35.0, help="of training")
    parser.add_argument("--out", type=Path, default=NETWORK_FILE, help="the file to write")
    arguments = parser.parse_args()
    quiet_environment()
    torch.manual_seed(0)
    faces = found_faces(arguments.folders)
    held_out = faces.videos % HELD_OUT == 0
    network = trained(faces.of(~held_out), arguments.minutes)
    apart = errors(network, faces.of(held_out))
    middle, most = np.median(apart), np.percentile(apart, 95)
    print(f"{(~held_out).sum()} faces; of {held_out.sum()} others, in other light and moved, landmarks are")
    print(f"{middle:.2f} pixels of a crop of {PRINTED} off at the median, 95 % below {most:.2f}")
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, SIDE, SIDE),),
        arguments.out,
        dynamo=False,
        input_names=["crops"],
        output_names=["shifts", "faces"],
        dynamic_axes={name: {0: "count"} for name in ("crops", "shifts", "faces")},
    )


if __name__ == "__main__":
    main()
