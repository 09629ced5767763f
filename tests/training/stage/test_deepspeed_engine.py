"""DeepSpeed on two workers, without Ray: `zero_run.py` in two processes, once for all tests here."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from favchat.config import load
from favchat.model.build import build
from favchat.training.batches.stage_source import StageSource
from favchat.training.stage import checkpoints
from favchat.training.stage.optimizer import make_optimizer, set_trainable
from favchat.training.stage.step import Stepper, TorchEngine
from jobs.commands.settings import CONFIGS


@pytest.fixture(scope="module")
def ran(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("zero")
    script = Path(__file__).with_name("zero_run.py")
    done = subprocess.run([sys.executable, script, corpus, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(out=out, **json.loads((out / "results.json").read_text()))


@pytest.mark.parametrize("other", ["zero2", "zero3", "offloaded2", "offloaded3"])
def test_the_stages_of_zero_agree(ran, other):
    assert ran.losses[other] == pytest.approx(ran.losses["zero0"], rel=1e-5)
    assert ran.norms[other] == pytest.approx(ran.norms["zero0"], rel=1e-4)
    assert ran.losses["zero0"][-1] < ran.losses["zero0"][0]


@pytest.mark.parametrize(
    "change", ["zero0-then-3", "zero2-then-0", "zero3-then-2", "zero0-then-offloaded2", "offloaded3-then-0"]
)
def test_a_checkpoint_of_one_stage_of_zero_goes_on_in_another(ran, change):
    assert ran.losses[change] == pytest.approx(ran.losses["zero0"][2:], rel=1e-5)


def test_bfloat16_comes_close(ran):
    assert ran.losses["bf16"] == pytest.approx(ran.losses["zero0"], rel=0.01)
    assert ran.losses["bf16"] != ran.losses["zero0"]


def test_what_two_workers_left_goes_on_in_one_process_without_deepspeed(ran, corpus):
    """Without dropout, whose random numbers are each worker's own, one worker takes the steps of two."""
    config = load(CONFIGS / "tiny.yaml", [f"data.out={corpus}"])
    stage = config.training.stages[1].model_copy(update={"learning_rates": {"language_model": 1e-3}})
    batches = StageSource(config, stage, None).read_batches(0, 1, 2)
    model, _ = build(config.model, 0)
    set_trainable(model, stage.trainable)
    checkpoint = checkpoints.newest(ran.out / "zero3")
    assert len(list(checkpoint.glob("part-*"))) == 2
    checkpoints.load_weights(model, checkpoint)
    engine = TorchEngine(model, make_optimizer(model, stage), stage)
    engine.restore(checkpoints.read_states(checkpoint))
    stepper = Stepper(engine, stage, 4, seed=0)
    losses = [stepper.step(step, [next(batches)]).metrics["language_loss"] for step in (3, 4)]
    assert losses == pytest.approx(ran.losses["zero0"][2:], rel=0.01)
    # A wrong optimiser state shows in the second step.
    assert losses[1] == pytest.approx(ran.losses["zero0"][3], rel=0.005)


def test_a_poisoned_batch_stops_every_worker_and_is_named(ran):
    assert ran.said[0] == ran.said[1]
    assert ran.said[0].startswith("step 4: the loss is nan; the clips of the batch are ")
    for clip in ran.poison:
        assert clip in ran.said[0]
    assert all(math.isfinite(loss) for losses in ran.losses.values() for loss in losses)
