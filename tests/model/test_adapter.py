import pytest
import torch

from favchat.model import FaVChatAdapter, FaVChatAdapterConfig
from favchat.model.adapter import (
    GEOMETRY_FEATURES,
    FaVChatTokenProjection,
    active_parameters,
    geometry_features,
    time_features,
)


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
        "vision": torch.randn(videos, frames, 16, 12),
        "face": torch.randn(videos, frames, 16, 6 + 8),
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
    x = torch.randn(1, 1, 5, 8)
    out, logits = layer(x, torch.tensor([0, 0, 0, 1, 1]))
    assert logits.abs().max() == 0
    index = torch.arange(4)
    each = [layer.experts(layer.norm(x[0, 0]), index[e].expand(5, 1), torch.ones(5, 1)) for e in range(4)]
    torch.testing.assert_close(out[0, 0], x[0, 0] + torch.stack(each).mean(dim=0))


@pytest.mark.parametrize("implementation", ["grouped_mm", "batched_mm"])
def test_fast_experts_equal_the_plain_loop(implementation):
    tokens, gradients = [], []
    for choice in ("eager", implementation):
        adapter = make(experts_implementation=choice)
        assert adapter.config._experts_implementation == choice
        tokens.append(adapter(**inputs()).tokens)
        tokens[-1].square().mean().backward()
        gradients.append(adapter.layers[0].experts.gate_up_proj.grad)
    torch.testing.assert_close(*tokens, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-3)


def test_the_implementation_is_saved_and_may_be_overridden(tmp_path):
    make(experts_implementation="eager").save_pretrained(tmp_path)
    assert FaVChatAdapter.from_pretrained(tmp_path).config._experts_implementation == "eager"
    other = FaVChatAdapter.from_pretrained(tmp_path, experts_implementation="batched_mm")
    assert other.config._experts_implementation == "batched_mm"


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
    second["face"][:, 1] = torch.inf
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


def test_levels_that_are_not_injected_enter_the_experts_with_the_deepest():
    adapter = make(inject_levels=False, num_experts_per_tok=4)
    torch.nn.init.zeros_(adapter.layers[0].router.weight)  # every expert alike, so that no token flips its choice
    first, second = inputs(), inputs()
    second["face"][..., :6] = 0.0  # the shallow level
    one, two = adapter(**first), adapter(**second)
    assert one.levels == ()
    difference = (one.tokens - two.tokens).abs().amax(dim=-1)
    assert (difference[:, :, :4] == 0).all()  # the general tokens
    assert (difference[:, :, 4:] > 1e-4).all()
    first["face_visible"][:, 1] = second["face_visible"][:, 1] = False
    hidden = (adapter(**first).tokens - adapter(**second).tokens)[:, 1]
    assert (hidden == 0).all()


def test_the_default_adapter_keeps_the_names_of_its_weights():
    names = {name for name, _ in make().named_parameters()}
    inner = ("norm.weight", "norm.bias", "score.weight", "linear.weight", "linear.bias")
    projections = ("vision_proj", "face_proj", "level_proj.0")
    layer = ("norm.weight", "source.weight", "router.weight", "experts.gate_up_proj", "experts.down_proj")
    assert names == {
        *(f"{projection}.{name}" for projection in projections for name in inner),
        *(f"layers.0.{name}" for name in layer),
        *(f"{name}.weight" for name in ("vision_place", "face_place", "no_face", "norm", "out_norm")),
        *(f"{name}.{kind}" for name in ("time_proj", "track_proj", "out_proj") for kind in ("weight", "bias")),
    }


def test_the_track_starts_as_loud_as_in_a_plain_layer_and_learns_faster():
    torch.manual_seed(0)
    config = FaVChatAdapterConfig(vision_size=12, face_sizes=[6, 8], output_size=16, hidden_size=64)
    layer = FaVChatAdapter(config).track_proj
    track = torch.rand(8, 36)
    plain = torch.nn.Linear(36, 64)
    with torch.no_grad():
        plain.weight.normal_(std=0.02)
        plain.bias.zero_()
        assert layer(track).std().item() == pytest.approx(plain(track).std().item(), rel=0.2)
    before = [layer(track).detach(), plain(track).detach()]
    for module in (layer, plain):
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0)
        module(track).sum().backward()
        optimizer.step()
    moved = [(after - old).abs().mean() for after, old in zip([layer(track), plain(track)], before, strict=True)]
    assert moved[0] > 10 * moved[1]


@pytest.mark.parametrize("inject", [True, False])
def test_without_a_face_grid_general_tokens_carry_where_the_face_is(inject):
    adapter = make(face_grid=0, inject_levels=inject)
    assert not [name for name, _ in adapter.named_parameters() if name.startswith(("face_", "level_", "fused_"))]
    batch = inputs() | {"face": torch.zeros(2, 3, 0, 14)}
    output = adapter(**batch)
    assert output.tokens.shape == (2, 3, 4, 16)
    assert output.levels == ()
    moved = adapter(**batch | {"face_geometry": batch["face_geometry"] + 0.3})
    assert (moved.tokens - output.tokens).abs().max() > 1e-4
    hidden = batch | {"face_visible": torch.zeros(2, 3, dtype=torch.bool)}
    elsewhere = hidden | {"face_geometry": batch["face_geometry"] + 0.3}
    assert (adapter(**hidden).tokens - output.tokens).abs().max() > 1e-4
    assert torch.equal(adapter(**hidden).tokens, adapter(**elsewhere).tokens)


def test_without_a_general_grid_there_are_face_tokens_alone():
    adapter = make(vision_grid=0)
    assert not [name for name, _ in adapter.named_parameters() if name.startswith("vision_")]
    batch = inputs() | {"vision": torch.zeros(2, 3, 0, 12)}
    output = adapter(**batch)
    assert output.tokens.shape == (2, 3, 4, 16)
    other = adapter(**batch | {"face": inputs()["face"] + 1 * torch.linspace(0, 1, 14)})
    assert (other.tokens - output.tokens).abs().max() > 1e-4


def test_a_shallow_level_is_projected_from_its_own_channels():
    adapter = make()
    first, second = inputs(), inputs()
    second["face"][..., 6:] = 0.0  # the deepest level
    torch.testing.assert_close(adapter(**first).levels[0], adapter(**second).levels[0])
    assert (adapter(**first).tokens[:, :, 4:] - adapter(**second).tokens[:, :, 4:]).abs().max() > 1e-3
    second = inputs()
    second["face"][..., :6] = 0.0  # the shallow one
    torch.testing.assert_close(adapter(**first).tokens, adapter(**second).tokens)
    assert (adapter(**first).levels[0] - adapter(**second).levels[0]).abs().max() > 1e-3


def test_a_new_projection_takes_the_mean_of_each_window():
    projection = FaVChatTokenProjection(1, 4, grid=2, window=2)
    torch.nn.init.zeros_(projection.score.weight)
    projection.norm = torch.nn.Identity()
    cells = torch.tensor([[0.0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]).reshape(1, 1, 16, 1)
    means = torch.tensor([2.5, 4.5, 10.5, 12.5]).reshape(1, 1, 4, 1)  # of the windows, row by row
    torch.testing.assert_close(projection(cells), projection.linear(means))


def test_a_learned_score_picks_a_cell():
    projection = FaVChatTokenProjection(2, 3, grid=1, window=2)
    projection.norm = torch.nn.Identity()
    projection.score.weight.data = torch.tensor([[100.0, 0.0]])
    cells = torch.tensor([[0.0, 5.0], [0.0, 6.0], [1.0, 7.0], [0.0, 8.0]]).reshape(1, 1, 4, 2)
    torch.testing.assert_close(projection(cells)[0, 0, 0], projection.linear(torch.tensor([1.0, 7.0])))


def test_noise_is_added_in_training_alone():
    noisy = FaVChatTokenProjection(16, 4, grid=1, window=1, noise=0.5)
    torch.nn.init.eye_(noisy.linear.weight)
    torch.nn.init.zeros_(noisy.linear.bias)
    cells = torch.randn(8, 512, 1, 16)
    plain = noisy.eval()(cells)
    torch.testing.assert_close(plain, noisy.norm(cells)[..., :4])
    added = (noisy.train()(cells) - plain).detach()
    assert abs(added.std().item() - 0.5) < 0.02
    assert abs(added.mean().item()) < 0.02


def test_all_of_an_adapters_projections_get_its_noise():
    for levels in ({"inject_levels": True}, {"inject_levels": False}):
        adapter = make(feature_noise=0.3, **levels)
        projections = [m for m in adapter.modules() if isinstance(m, FaVChatTokenProjection)]
        assert [p.noise for p in projections] == [0.3] * 3


def test_another_number_of_cells_is_refused():
    batch = inputs()
    batch["vision"] = batch["vision"][:, :, :9]
    with pytest.raises(ValueError, match="9 cells of features where the adapter reads 4 x 4"):
        make()(**batch)


def test_one_cell_a_token_needs_no_scores():
    adapter = make(pool_window=1)
    batch = inputs() | {"vision": torch.randn(2, 3, 4, 12), "face": torch.randn(2, 3, 4, 14)}
    assert adapter.vision_proj.score is None
    assert adapter(**batch).tokens.shape == (2, 3, 8, 16)


def test_the_router_knows_the_source():
    adapter = make()
    layer = adapter.layers[0]
    x = torch.randn(1, 1, 1, 8).expand(1, 1, 2, 8)
    _, logits = layer(x, torch.tensor([0, 1]))
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_the_router_reads_the_question_and_the_experts_do_not():
    adapter = make(route_by_question=True, num_experts_per_tok=4)
    question = torch.randn(2, 16)
    with pytest.raises(ValueError, match="routes by the question"):
        adapter(**inputs())
    first, second = adapter(**inputs(), question=question), adapter(**inputs(), question=question.flip(0))
    assert (first.router_logits[0] - second.router_logits[0]).abs().max() > 1e-3
    torch.nn.init.zeros_(adapter.layers[0].router.weight)  # every expert alike, whatever is asked
    first, second = adapter(**inputs(), question=question), adapter(**inputs(), question=question.flip(0))
    torch.testing.assert_close(first.tokens, second.tokens)


def test_a_question_reaches_its_own_video_alone():
    adapter = make(route_by_question=True)
    question = torch.randn(2, 16)
    changed = question.clone()
    changed[1] += 1.0
    first, second = adapter(**inputs(), question=question), adapter(**inputs(), question=changed)
    assert torch.equal(first.tokens[0], second.tokens[0])
    assert (first.tokens[1] - second.tokens[1]).abs().max() > 1e-4


def test_a_shared_expert_sees_every_token():
    adapter = make(shared_expert_size=12)
    layer = adapter.layers[0]
    x, source = torch.randn(1, 1, 5, 8), torch.zeros(5, dtype=torch.long)
    before, _ = layer(x, source)
    torch.nn.init.zeros_(layer.shared_expert.down_proj.weight)
    after, _ = layer(x, source)
    assert ((before - after).abs().amax(dim=-1) > 1e-5).all()


def test_videos_do_not_mix():
    adapter, batch = make(), inputs()
    alone = adapter(**{name: tensor[:1] for name, tensor in batch.items()})
    torch.testing.assert_close(adapter(**batch).tokens[:1], alone.tokens)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("implementation", ["grouped_mm", "batched_mm", "eager"])
def test_precisions(dtype, implementation):
    adapter = make(experts_implementation=implementation, shared_expert_size=4, intermediate_size=16).to(dtype)
    batch = inputs()
    batch |= {name: batch[name].to(dtype) for name in ("vision", "face")}
    output = adapter(**batch)
    (output.tokens.square().mean() + output.balance_loss + output.z_loss).backward()
    assert output.tokens.dtype == dtype
    assert output.router_logits[0].dtype == output.z_loss.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in adapter.parameters() if p.grad is not None)
    reference = make(experts_implementation=implementation, shared_expert_size=4, intermediate_size=16)(**inputs())
    torch.testing.assert_close(output.router_logits[0], reference.router_logits[0], atol=0.2, rtol=0.1)


def test_the_roll_of_an_upside_down_face_has_no_seam():
    geometry = torch.tensor([[0.5, 0.5, 0.3, -1.0], [0.5, 0.5, 0.3, 1.0], [0.5, 0.5, 0.3, 0.9]]).unsqueeze(1)
    features = geometry_features(geometry, torch.ones(3, 1, dtype=torch.bool))[:, 0]
    torch.testing.assert_close(features[0], features[1], atol=1e-5, rtol=0)
    assert (features[1] - features[2]).abs().max() > 0.1
    assert features.shape == (3, GEOMETRY_FEATURES)


def test_active_parameters_are_those_of_top_k_experts():
    def count(num_experts, top_k):
        return active_parameters(make(num_experts=num_experts, num_experts_per_tok=top_k).config)

    layers = len(make().layers)
    expert = layers * 3 * 8 * 12  # gate, up and down
    assert count(2, 2) - count(2, 1) == count(4, 2) - count(4, 1) == expert
    assert count(4, 1) - count(2, 1) == layers * 2 * 8  # two more rows of the router


def test_geometry_tells_movement_apart_from_place():
    still = torch.tensor([0.5, 0.4, 0.3, 0.1]).expand(1, 4, 4).clone()
    seen = torch.ones(1, 4, dtype=torch.bool)
    nod = still.clone()
    nod[0, :, 1] += torch.tensor([0.05, -0.05, 0.05, -0.05])
    movement = geometry_features(still, seen)[..., 24:].unflatten(-1, (3, 4))
    assert (movement == 0).all()
    deviation, change, spread = geometry_features(nod, seen)[0, :, 24:].unflatten(-1, (3, 4)).unbind(1)
    assert deviation[:, 1].sign().tolist() == [1, -1, 1, -1]
    assert change[:, 1].sign().tolist() == [0, -1, 1, -1]
    assert (spread[:, 1] > 0.6).all()
    for measure in (deviation, change, spread):
        assert (measure[:, [0, 2, 3]].abs() < 1e-5).all()
    elsewhere = nod + torch.tensor([0.2, 0.1, 0.0, 0.0])
    torch.testing.assert_close(geometry_features(elsewhere, seen)[..., 24:], geometry_features(nod, seen)[..., 24:])


def test_a_frame_without_a_face_counts_for_no_movement():
    geometry = torch.tensor([0.5, 0.4, 0.3, 0.1]).expand(1, 3, 4).clone()
    geometry[0, 1] = 0.0
    seen = torch.tensor([[True, False, True]])
    assert (geometry_features(geometry, seen)[..., 24:] == 0).all()
    assert geometry_features(geometry, torch.zeros_like(seen)).isfinite().all()
