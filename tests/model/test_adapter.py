import pytest
import torch

from favchat.model import FaVChatAdapter, FaVChatAdapterConfig
from favchat.model.adapter import active_parameters, time_features


def make(**settings):
    torch.manual_seed(0)
    defaults = {"vision_size": 12, "face_sizes": [6, 8], "output_size": 16, "hidden_size": 8, "intermediate_size": 12}
    adapter = FaVChatAdapter(FaVChatAdapterConfig(**{**defaults, **settings})).eval()
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return adapter


def inputs(videos=2, frames=3):
    torch.manual_seed(1)
    return {
        "vision": torch.randn(videos, frames, 4, 12),
        "face_levels": [torch.randn(videos, frames, 4, 6), torch.randn(videos, frames, 4, 8)],
        "face_visible": torch.ones(videos, frames, dtype=torch.bool),
        "frame_times": torch.rand(videos, frames),
        "face_geometry": torch.rand(videos, frames, 4),
    }


def test_shapes():
    output = make()(**inputs())
    assert output.tokens.shape == (2, 3, 8, 16)
    assert [level.shape for level in output.levels] == [(2, 3, 4, 16)]
    assert [logits.shape for logits in output.router_logits] == [(2 * 3 * 8, 4)]


def test_permuting_experts_with_their_router_rows_changes_nothing():
    adapter = make()
    before = adapter(**inputs()).tokens
    order = torch.tensor([2, 0, 3, 1])
    layer = adapter.layers[0]
    with torch.no_grad():
        for parameter in (layer.router.weight, layer.experts.gate_up_proj, layer.experts.down_proj):
            parameter.copy_(parameter[order].clone())
    torch.testing.assert_close(adapter(**inputs()).tokens, before)


def test_all_experts_with_equal_logits_are_averaged():
    adapter = make(num_experts_per_tok=4)
    layer = adapter.layers[0]
    torch.nn.init.zeros_(layer.router.weight)
    x = torch.randn(5, 8)
    out, _ = layer(x)
    index = torch.arange(4)
    each = [layer.experts(layer.norm(x), index[e].expand(5, 1), torch.ones(5, 1)) for e in range(4)]
    torch.testing.assert_close(out, x + torch.stack(each).mean(dim=0))


@pytest.mark.parametrize("implementation", ["grouped_mm", "batched_mm"])
def test_fast_experts_equal_the_plain_loop(implementation):
    outputs = []
    for choice in ("eager", implementation):
        adapter = make()
        adapter.set_experts_implementation(choice)
        outputs.append(adapter(**inputs()).tokens)
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-4)


def test_cost_follows_top_k_by_default():
    assert make().config._experts_implementation == "grouped_mm"


def test_one_expert_is_dense():
    adapter = make(num_experts=1, num_experts_per_tok=1)
    output = adapter(**inputs())
    assert output.balance_loss.item() == pytest.approx(1.0)
    assert output.tokens.shape == (2, 3, 8, 16)


def test_balance_loss_is_share_times_probability_summed_over_experts():
    adapter = make()
    output = adapter(**inputs())
    probability = output.router_logits[0].softmax(dim=-1)
    chosen = torch.zeros_like(probability).scatter(1, probability.topk(2, dim=-1).indices, 1.0)
    expected = 4 * (chosen.mean(dim=0) * probability.mean(dim=0)).sum()
    torch.testing.assert_close(output.balance_loss, expected)
    torch.nn.init.zeros_(adapter.layers[0].router.weight)
    # Equal probabilities: the shares sum to top_k, whoever is chosen.
    assert adapter(**inputs()).balance_loss.item() == pytest.approx(2.0, rel=1e-5)


def test_an_invisible_face_leaves_no_trace():
    adapter = make()
    first, second = inputs(), inputs()
    for batch in (first, second):
        batch["face_visible"][:, 1] = False
    second["face_levels"] = [level.clone() for level in second["face_levels"]]
    for level in second["face_levels"]:
        level[:, 1] = 7.0
    second["face_geometry"][:, 1] = 0.9
    one, two = adapter(**first), adapter(**second)
    torch.testing.assert_close(one.tokens, two.tokens)
    torch.testing.assert_close(one.levels[0], two.levels[0])
    assert one.levels[0][:, 1].abs().max() == 0


def test_time_and_geometry_matter():
    adapter = make()
    base = adapter(**inputs()).tokens
    for name in ("frame_times", "face_geometry"):
        changed = inputs()
        changed[name] = changed[name] + 0.3
        assert (adapter(**changed).tokens - base).abs().max() > 1e-4, name


def test_time_features_tell_times_apart():
    features = time_features(torch.arange(0, 16, 1 / 12))
    distances = torch.cdist(features, features) + 10 * torch.eye(len(features))
    assert features.abs().max() <= 1
    assert distances.min() > 0.1


def test_new_adapter_injects_nothing_and_speaks_at_the_given_loudness():
    config = FaVChatAdapterConfig(vision_size=12, face_sizes=[6, 8], output_size=16, hidden_size=8, output_scale=0.25)
    output = FaVChatAdapter(config).eval()(**inputs())
    assert output.levels[0].abs().max() == 0
    torch.testing.assert_close(output.tokens.square().mean(-1).sqrt(), torch.full((2, 3, 8), 0.25), atol=0.02, rtol=0.1)


def test_levels_can_be_left_out():
    assert make(inject_levels=False)(**inputs()).levels == ()


def test_active_parameters_are_those_of_top_k_experts():
    def count(num_experts, top_k):
        return active_parameters(make(num_experts=num_experts, num_experts_per_tok=top_k).config)

    layers = len(make().layers)
    expert = layers * 3 * 8 * 12  # gate, up and down
    assert count(2, 2) - count(2, 1) == count(4, 2) - count(4, 1) == expert
    assert count(4, 1) - count(2, 1) == layers * 2 * 8  # two more rows of the router
