"""`favchat model` counts what the presets hold and what memory they take, without a hub."""

import subprocess
import sys

import pytest

from favchat.config import ConfigError, load
from jobs.commands.settings import CONFIGS
from jobs.model import describe, zero3_memory


def test_memory_is_that_of_the_zero_paper():
    # Figure 1 of arXiv 1910.02054: 7.5 billion parameters, 64 GPUs, K = 12: 120 GB a GPU without ZeRO, 1.9 GB with all.
    psi = 7_500_000_000
    assert zero3_memory(psi, psi, 1).total == pytest.approx(120e9)
    assert zero3_memory(psi, psi, 64).total == pytest.approx(1.9e9, rel=0.02)


def test_frozen_parameters_have_neither_gradients_nor_optimiser():
    need = zero3_memory(1000, 100, 2)
    assert (need.weights, need.gradients, need.optimizer) == (1000, 100, 600)


@pytest.mark.parametrize(("preset", "tokens"), [("tiny", 32), ("small", 32), ("2b", 512), ("8b", 1024)])
def test_presets_are_described_without_their_weights(preset, tokens):
    card = describe(load(CONFIGS / f"{preset}.yaml"))
    assert card.tokens_per_clip == tokens
    parts = {part.name: part.parameters for part in card.parts}
    assert list(parts) == ["vision_model", "face_model", "adapter", "language_model"]
    trainable = dict(card.trainable)
    if preset == "tiny":
        assert trainable["questions"] == parts["adapter"] + parts["language_model"]
    elif preset == "small":
        assert trainable["attributes"] < parts["adapter"] < trainable["words"] < parts["language_model"] / 200
    else:
        assert trainable["summaries"] == parts["adapter"]
        assert parts["adapter"] < trainable["questions"] < parts["adapter"] + parts["language_model"] / 20
    head = card.parameters - sum(parts.values())
    assert head == (151936 * 4096 if preset == "8b" else 0)  # the others share it with the embeddings


def test_a_change_of_the_settings_shows(tmp_path):
    file = CONFIGS / "tiny.yaml"
    before, after = describe(load(file)), describe(load(file, ["model.adapter.num_experts=8", "model.num_frames=8"]))
    assert after.tokens_per_clip == 2 * before.tokens_per_clip
    assert after.parameters > before.parameters


def test_a_model_without_a_face_encoder_has_no_such_part():
    file, trained = CONFIGS / "tiny.yaml", "training.stages=[{name: a, task: qa}]"
    full, faceless = describe(load(file, [trained])), describe(load(file, [trained, "model.adapter.face_grid=0"]))
    assert [part.name for part in faceless.parts] == ["vision_model", "adapter", "language_model"]
    assert (full.face_tokens, faceless.face_tokens) == (4, 0)
    assert faceless.parameters < full.parameters


def test_a_model_without_a_general_encoder_has_no_such_part():
    file, trained = CONFIGS / "tiny.yaml", "training.stages=[{name: a, task: qa}]"
    card = describe(load(file, [trained, "model.adapter.vision_grid=0"]))
    assert [part.name for part in card.parts] == ["face_model", "adapter", "language_model"]
    with pytest.raises(ConfigError, match="would see nothing"):
        load(file, ["model.adapter.vision_grid=0", "model.adapter.face_grid=0"])


def test_low_rank_updates_are_counted():
    stages = "training.stages=[{name: a, task: qa, trainable: [lora]}, {name: b, task: qa, trainable: [adapter, lora]}]"
    card = describe(load(CONFIGS / "tiny.yaml", [stages, "model.lora.rank=2", "model.lora.targets=[q_proj]"]))
    adapter = next(part.parameters for part in card.parts if part.name == "adapter")
    assert dict(card.trainable) == {"a": 4 * 2 * (64 + 64), "b": adapter + 4 * 2 * (64 + 64)}  # four layers of 64 by 64


def test_the_command_prints_parts_tokens_and_memory(tmp_path):
    command = [sys.executable, "-m", "jobs.cli", "model", "2b", "model.adapter.num_experts=4"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("SiglipVisionModel", "CLIPVisionModel", "Qwen3Model", "1 x 4 experts, top-2", "512 tokens", "ZeRO-3"):
        assert word in done.stdout
    rows = [line for line in done.stdout.splitlines() if "│ 64 " in line]
    assert len(rows) == 2  # one a stage
    assert list(tmp_path.iterdir()) == []
