"""Take what a model learnt, adapter and LoRA, into the package, as what ``asset:favchat-nano`` puts on its backbones.

    python tools/embed_model.py RUN/model nano

The model's card goes along; add to it what it cannot know (limits, whose faces, licences of the data).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from favchat.config import load as load_config
from favchat.face_scores.values import CALIBRATION
from favchat.hub.load import load
from favchat.hub.shipped_model import ADAPTER, CARD, is_learnt
from favchat.model.build import build
from favchat.model.lora import without_lora
from jobs.cli import CONFIGS


def main() -> None:
    """Check that nothing else was trained, and write them in half precision."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("model", type=Path, help="a finished training's model directory")
    parser.add_argument("preset", help="the preset that it was trained with, or a YAML file")
    arguments = parser.parse_args()
    preset = CONFIGS / f"{arguments.preset}.yaml"
    settings = load_config(preset if preset.is_file() else Path(arguments.preset)).model
    trained, processor = load(str(arguments.model))
    fresh, _ = build(settings)
    old = fresh.state_dict()
    moved = [
        name
        for name, value in without_lora(trained.state_dict()).items()
        if not is_learnt(name) and not torch.equal(value, old[name].to(value.dtype))
    ]
    if moved:
        raise SystemExit(f"{len(moved)} tensors beside adapter and LoRA are not the preset's, such as {moved[0]}")
    halves = {name: value.half().contiguous() for name, value in trained.state_dict().items() if is_learnt(name)}
    about = {"model": json.dumps(settings.model_dump(mode="json")), "clip": json.dumps(processor.video_processor.clip)}
    calibration = arguments.model / CALIBRATION
    if calibration.is_file():
        about["calibration"] = calibration.read_text()
    save_file(halves, ADAPTER, metadata=about)
    ADAPTER.chmod(0o644)
    shutil.copyfile(arguments.model / "README.md", CARD)
    print(f"{ADAPTER}: {ADAPTER.stat().st_size / 1e6:.1f} MB, {sum(v.numel() for v in halves.values()) / 1e6:.2f} M")


if __name__ == "__main__":
    main()
