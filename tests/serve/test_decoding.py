"""Sampling through noise on the logits."""

import pytest
import torch

from serve.decoding import Sampling, perturbed

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -4.0])


def draws(temperature: float, top_p: float, count: int = 4000) -> torch.Tensor:
    """How often each token is drawn, as a share."""
    tokens = [int(perturbed(LOGITS, Sampling(temperature, top_p, seed), 7).argmax()) for seed in range(count)]
    return torch.bincount(torch.tensor(tokens), minlength=len(LOGITS)) / count


def test_draws_follow_the_softmax() -> None:
    for temperature in (0.5, 1.0, 2.0):
        assert (draws(temperature, 1.0) - (LOGITS / temperature).softmax(0)).abs().max() < 0.03


def test_top_p_keeps_the_most_likely_tokens_that_reach_it() -> None:
    share = LOGITS.softmax(0)  # 0.64, 0.24, 0.09, 0.03, 0.00
    kept = draws(1.0, 0.8)
    assert kept[2:].sum() == 0
    assert (kept[:2] - share[:2] / share[:2].sum()).abs().max() < 0.03
    assert draws(1.0, 1e-6, 50)[0] == 1


@pytest.mark.parametrize("temperature", [1e-5, 1e-39, 5e-324])
def test_a_temperature_near_zero_takes_the_most_likely_token(temperature) -> None:
    for logits in (LOGITS, LOGITS * 100, LOGITS.bfloat16()):
        assert all(int(perturbed(logits, Sampling(temperature, 0.9, seed), 3).argmax()) == 0 for seed in range(20))


def test_noise_depends_on_seed_and_position() -> None:
    sampling = Sampling(1.0, 1.0, 3)
    assert torch.equal(perturbed(LOGITS, sampling, 5), perturbed(LOGITS, sampling, 5))
    assert not torch.equal(perturbed(LOGITS, sampling, 5), perturbed(LOGITS, sampling, 6))
    assert not torch.equal(perturbed(LOGITS, sampling, 5), perturbed(LOGITS, Sampling(1.0, 1.0, 4), 5))


def test_a_large_or_negative_seed_is_fine() -> None:
    for seed in (-1, 2**63 - 1, 2**70):
        assert perturbed(LOGITS, Sampling(1.0, 1.0, seed), 5).isfinite().all()
