"""Two workers take the steps that one takes: the collectives of two threads in place of two processes."""

import copy
import threading
from contextlib import contextmanager

import pytest
import torch
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from favchat.config import load
from favchat.training.batches.batch import Batch
from favchat.training.batches.stage_source import StageSource
from favchat.training.stage import shared_losses, step
from favchat.training.stage.optimizer import make_optimizer, set_trainable
from favchat.training.stage.shared_losses import router_shares, video_weights
from favchat.training.stage.step import Stepper, TorchEngine
from jobs.commands.settings import CONFIGS

STEPS = 8


class Two:
    """Collectives of two threads, each of which first says which one it is."""

    def __init__(self):
        self._barrier, self._box, self._me = threading.Barrier(2, timeout=60), [None, None], threading.local()

    def is_rank(self, rank):
        self._me.rank = rank

    def gather(self, value):
        self._box[self._me.rank] = value
        self._barrier.wait()
        found = list(self._box)
        self._barrier.wait()
        return found

    def reduce(self, values):
        total = sum(one.clone() for one in self.gather(values))
        self._barrier.wait()
        return values.copy_(total)


class HalfEngine(TorchEngine):
    """Averages its gradients with the other thread's, as DeepSpeed does with other workers'."""

    two = None

    def update(self):
        for parameter in self._learning.values():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self.two.reduce(gradient.clone()) / 2
        return super().update()


@contextmanager
def collectives(two, monkeypatch):
    with monkeypatch.context() as patch:
        for module in (step, shared_losses):
            patch.setattr(module, "all_reduce_sum", two.reduce)
            patch.setattr(module, "all_gather_objects", two.gather)
        yield


def run(kind, tiny, stage, batches, rank=0):
    model = copy.deepcopy(tiny[0])
    set_trainable(model, stage.trainable)
    engine = kind(model, make_optimizer(model, stage), stage)
    stepper = Stepper(engine, stage, STEPS, seed=0, rank=rank)
    return [stepper.step(number, [batch]).metrics for number, batch in enumerate(batches, 1)]


def in_two(tiny, stage, halves, monkeypatch):
    two, found, faults = Two(), [None, None], []
    HalfEngine.two = two

    def work(rank):
        two.is_rank(rank)
        try:
            found[rank] = run(HalfEngine, tiny, stage, halves[rank], rank)
        except BaseException as error:
            faults.append(error)
            two._barrier.abort()

    with collectives(two, monkeypatch):
        threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    if faults:
        raise faults[0]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize("packed", [True, False])
def test_the_losses_of_two_workers_are_those_of_one(corpus, tiny, monkeypatch, packed):
    config = load(CONFIGS / "tiny.yaml", [f"data.out={corpus}"])
    stage = config.training.stages[1].model_copy(update={"packed": packed, "batch_size": 12, "learning_rate": 3e-3})
    stage = stage.model_copy(update={"trainable": ["adapter", "language_model"], "warmup": 0})
    source = StageSource(config, stage, None)
    whole, *halves = (
        [batch for _, batch in zip(range(STEPS), source.read_batches(rank, workers, 0), strict=False)]
        for rank, workers in ((0, 1), (0, 2), (1, 2))
    )
    divided = [set(a.clip_ids) & set(b.clip_ids) for a, b in zip(*halves, strict=True)]
    assert any(divided) or not packed  # a clip whose questions lie with both workers
    one, both = run(TorchEngine, tiny, stage, whole), in_two(tiny, stage, halves, monkeypatch)
    assert one[-1]["loss"] != pytest.approx(one[0]["loss"], abs=1e-2)
    for alone, together in zip(one, both, strict=True):
        assert together == pytest.approx(alone, abs=1e-4, rel=1e-3)


def test_one_part_has_the_losses_of_the_formulas(tiny):
    config = tiny[0].config.adapter_config
    logits = tuple(torch.randn(3 * 10, config.num_experts, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    weights = torch.ones(3, dtype=torch.float64)
    balance, z = router_shares(logits, weights, config, all_videos=3)
    expected = load_balancing_loss_func(logits, config.num_experts, config.num_experts_per_tok)
    assert balance.item() == pytest.approx(expected.item(), rel=1e-5)
    squares = torch.stack([layer.logsumexp(dim=-1).square().mean() for layer in logits]).mean()
    assert z.item() == pytest.approx(squares.item(), rel=1e-5)


def test_a_video_that_several_parts_see_counts_once(monkeypatch):
    inputs = {"face_visible": torch.ones(2, 4)}
    parts = [Batch(inputs, [], 0, ["a", "b"]), Batch(inputs, [], 0, ["b", "c"])]
    found = video_weights(parts, torch.device("cpu"), divided=True)
    assert [weights.tolist() for weights in found] == [[1, 0.5], [0.5, 1]]
    apart = [Batch(inputs, ["a", "a"], 0), Batch(inputs, ["a", "b"], 0)]  # a sample, a video
    assert [weights.tolist() for weights in video_weights(apart, torch.device("cpu"), divided=True)] == [[1, 1]] * 2
