import pytest
import torch

from favchat.labels.attributes import EMOTION, UNKNOWN
from favchat.model.adapter import FaVChatAdapter
from favchat.model.configuration_favchat import FaVChatAdapterConfig
from favchat.video.face_measures import FACE_MEASURES
from favchat.video.motion import MOTION_FEATURES
from favchat.video.mouth import MOUTH_FEATURES

NAMES = ["male", "eyeglasses", "smile", *(emotion.name for emotion in EMOTION)]
SIZES = {
    "vision_size": 16,
    "face_sizes": [8, 24],
    "output_size": 32,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_experts": 2,
    "num_experts_per_tok": 1,
}


def adapter(**settings) -> FaVChatAdapter:
    torch.manual_seed(0)
    return FaVChatAdapter(FaVChatAdapterConfig(attributes=NAMES, **SIZES | settings)).eval()


def clips(count: int, frames: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "vision": torch.randn(count, frames, 16, 16),
        "face": torch.randn(count, frames, 16, 32),
        "face_visible": torch.ones(count, frames, dtype=torch.bool),
        "frame_times": torch.arange(frames).float().expand(count, frames) / 4,
        "face_geometry": torch.rand(count, frames, 4),
        "face_motion": torch.randn(count, MOTION_FEATURES + FACE_MEASURES),
    }


def test_every_attribute_has_a_logit_and_two_tokens_after_the_frames_tokens():
    model, given = adapter(), clips(2)
    output = model(**given)
    assert output.attribute_logits.shape == (2, len(NAMES))
    assert output.attribute_tokens.shape == (2, 2 * len(NAMES), 32)
    sequence = output.sequence()
    assert sequence.shape == (2, 3 * 8 + 2 * len(NAMES), 32)
    assert torch.equal(sequence[:, :24], output.tokens.flatten(1, 2))


def test_an_adapter_without_attributes_gives_the_tokens_of_its_frames_alone():
    model = FaVChatAdapter(FaVChatAdapterConfig(**SIZES)).eval()
    given = clips(1)
    del given["face_motion"]
    output = model(**given)
    assert output.attribute_logits.shape == (1, 0)
    assert torch.equal(output.sequence(), output.tokens.flatten(1, 2))


def test_attributes_need_the_motion():
    given = clips(1)
    del given["face_motion"]
    with pytest.raises(ValueError, match="give face_motion"):
        adapter()(**given)


def test_frames_without_the_face_do_not_count():
    model, given = adapter(), clips(1)
    given["face_visible"][0, 2] = False
    before = model(**given).attribute_logits
    given["vision"][0, 2] = torch.randn(16, 16)  # the frame that does not count
    assert torch.allclose(model(**given).attribute_logits, before, atol=1e-5)
    given["vision"][0, 1] = torch.randn(16, 16)
    assert not torch.allclose(model(**given).attribute_logits, before, atol=1e-3)


def test_a_clip_without_a_face_has_tokens_that_say_nothing_of_the_logits():
    model, given = adapter(), clips(2)
    given["face_visible"][:] = False
    tokens = model(**given).attribute_tokens
    assert torch.equal(tokens[0], tokens[1])
    seen = clips(2)
    assert not torch.equal(model(**seen).attribute_tokens[0], model(**seen).attribute_tokens[1])


def test_what_is_said_teaches_the_head_nothing():
    model = adapter()
    model(**clips(2)).attribute_tokens.sum().backward()
    assert model.attribute_head.linear.weight.grad is None
    assert model.attribute_tokens.state.weight.grad is not None


def test_the_emotions_exclude_each_other_and_the_other_attributes_do_not():
    head = adapter().attribute_head
    values = head.probabilities(torch.tensor([[2.0, 2.0, -1.0, *range(8)]]))
    assert values[0, 3:].sum().item() == pytest.approx(1)
    assert values[0, :3].tolist() == pytest.approx([0.8808, 0.8808, 0.2689], abs=1e-4)


def test_unknown_labels_teach_nothing_and_known_ones_are_weighed_by_their_frequency():
    head = adapter().attribute_head
    logits = torch.zeros(2, len(NAMES), requires_grad=True)
    labels = torch.full((2, len(NAMES)), UNKNOWN)
    assert head.loss(logits, labels).item() == 0
    labels[0, 1] = 1
    head.get_buffer("prior")[1] = -2.0  # seldom
    loss = head.loss(logits, labels)
    # Natural logit -2 and label 1: softplus(2), over two clips.
    assert loss.item() == pytest.approx(2.126928 / 2, abs=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] < 0
    assert logits.grad.count_nonzero() == 1


def test_it_learns_what_the_tokens_tell():
    model, given = adapter(), clips(16)
    labels = torch.full((16, len(NAMES)), UNKNOWN)
    labels[:, 1] = torch.arange(16) % 2
    given["face"][1::2, ..., 8:20] += 1.0
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        loss = model.attribute_head.loss(model(**given).attribute_logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((model(**given).attribute_logits[:, 1] > 0) == (labels[:, 1] == 1)).all()


@pytest.mark.parametrize(
    ("setting", "begin", "end"),
    [
        ("mouth_motion", MOTION_FEATURES, MOTION_FEATURES + MOUTH_FEATURES),
        ("face_mesh", MOTION_FEATURES + MOUTH_FEATURES, MOTION_FEATURES + FACE_MEASURES),
    ],
)
def test_logits_read_the_measures_of_the_crops_that_the_settings_name_and_no_others(setting, begin, end):
    model, given = adapter(**{setting: True}), clips(2)
    before = model(**given).attribute_logits
    read, others = given["face_motion"].clone(), given["face_motion"].clone()
    read[:, begin:end] += 1
    others[:, MOTION_FEATURES:begin] += 1
    others[:, end:] += 1
    assert (model(**given | {"face_motion": read}).attribute_logits != before).all()
    assert torch.equal(model(**given | {"face_motion": others}).attribute_logits, before)


def test_a_model_that_does_not_read_the_mesh_takes_features_from_before_it_was_measured():
    model, given = adapter(mouth_motion=True), clips(2)
    older = given["face_motion"][:, : MOTION_FEATURES + MOUTH_FEATURES]
    found = model(**given | {"face_motion": older}).attribute_logits
    assert torch.equal(found, model(**given).attribute_logits)
