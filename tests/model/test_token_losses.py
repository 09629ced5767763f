"""That they and their gradients are those of torch's own cross entropy."""

import pytest
import torch

from favchat.model.token_losses import CHUNK, token_losses


@pytest.mark.parametrize("tokens", [1, CHUNK, 2 * CHUNK + 3])
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 8e-3)])
def test_losses_and_gradients_are_those_of_torch(tokens, precision, tolerance):
    generator = torch.Generator().manual_seed(tokens)
    logits = (4 * torch.randn(tokens, 50, generator=generator)).to(precision)
    labels = torch.randint(50, (tokens,), generator=generator)
    labels[tokens // 2] = -100
    weights = torch.rand(tokens, generator=generator)
    found = []
    for losses in (token_losses, lambda *given: torch.nn.functional.cross_entropy(*given, reduction="none")):
        given = logits.clone().requires_grad_()
        each = losses(given if losses is token_losses else given.float(), labels)
        (each * weights).sum().backward()
        found.append((each.detach(), given.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)
    assert found[0][1].dtype == precision
    torch.testing.assert_close(found[0][1], found[1][1], rtol=tolerance, atol=tolerance)
    assert not found[0][1][tokens // 2].any()
