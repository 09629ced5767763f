"""The model in training: its losses, what gradients reach, encoders that rest, and transformers' Trainer."""

import copy

import pytest
import torch
from transformers import Trainer, TrainingArguments

from favchat.config import BackboneConfig
from favchat.model.build import build
from favchat.training.stage.optimizer import set_trainable
from tests.model.conftest import batch_of


def test_loss_is_the_language_loss_plus_the_weighted_router_losses(tiny, make_clip):
    model, _ = tiny
    output = model(**batch_of(tiny, [make_clip(0)], ["Is she happy?"], ["Yes."]), output_router_logits=True)
    adapter = model.config.adapter_config
    expected = output.language_loss + adapter.router_aux_loss_coef * output.balance_loss
    torch.testing.assert_close(output.loss, expected + adapter.router_z_loss_coef * output.z_loss)
    tokens = 4 * (adapter.vision_grid**2 + adapter.face_grid**2)
    assert [logits.shape for logits in output.router_logits] == [(tokens, adapter.num_experts)]


def test_gradients_reach_what_is_trainable_and_nothing_else(tiny, make_clip):
    model = copy.deepcopy(tiny[0])
    names = set_trainable(model, ["adapter"])
    model(**batch_of(tiny, [make_clip(0)], ["Is she happy?"], ["Yes."])).loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == set(names)
    for part in (
        "router.weight",
        "level_proj.0.linear.weight",
        "experts.down_proj",
        "vision_proj.linear.weight",
        "source.weight",
    ):
        gradient = model.get_parameter(next(name for name in names if name.endswith(part))).grad
        assert gradient.abs().sum() > 0, part


def test_gradient_checkpointing_changes_no_gradient(tiny, make_clip):
    gradients = []
    for checkpointing in (False, True):
        model = copy.deepcopy(tiny[0])
        set_trainable(model, ["adapter", "language_model"])
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        # From zero the levels' projections would give their inputs no gradient.
        torch.nn.init.constant_(model.model.adapter.level_proj[0].linear.weight, 0.01)
        model(**batch_of(tiny, [make_clip(0)], ["Who?"], ["A man."])).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


def batch_norms(preset):
    """The tiny model with a general encoder that keeps batch statistics."""
    vision = {"model_type": "mobilenet_v2", "depth_multiplier": 0.25, "image_size": 64}
    settings = preset.model.model_copy(update={"vision": BackboneConfig(config=vision)})
    return build(settings, seed=0)


def test_frozen_encoders_rest_whoever_calls_train(tiny_preset, make_clip, tmp_path):
    made = batch_norms(tiny_preset)
    made[0].save_pretrained(tmp_path)
    for model in (made[0], type(made[0]).from_pretrained(tmp_path)):
        batch = batch_of(made, [make_clip(0)], ["Who is it?"])
        model.eval()
        before = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            logits = model(**batch).logits
            model.train()
            model(**batch)
            assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
            torch.testing.assert_close(model.eval()(**batch).logits, logits, rtol=0, atol=0)
        assert model.train().model.adapter.training and model.model.language_model.training
        assert not any(module.training for module in model.model.vision_model.modules())
        assert not any(module.training for module in model.model.face_model.modules())


def test_an_encoder_that_learns_trains(tiny_preset, make_clip):
    model, _ = made = batch_norms(tiny_preset)
    set_trainable(model, ["vision_model.layer.3"])
    model.eval()
    model.train()
    vision = dict(model.model.vision_model.named_modules())
    norms = {name: module for name, module in vision.items() if isinstance(module, torch.nn.BatchNorm2d)}
    assert {name for name, module in norms.items() if module.training} == {n for n in norms if n.startswith("layer.3.")}
    before = {name: norm.running_mean.clone() for name, norm in norms.items()}
    model(**batch_of(made, [make_clip(0)], ["Who is it?"]))
    moved = {name for name, norm in norms.items() if not torch.equal(norm.running_mean, before[name])}
    assert moved and all(name.startswith("layer.3.") for name in moved)
    assert not model.model.face_model.training


class Samples(torch.utils.data.Dataset):
    """Samples about clips, whose answers differ in length."""

    def __init__(self, tiny, clips):
        self.made = [
            batch_of(tiny, [clip], ["Who is it?"], ["A" + " person" * number]) for number, clip in enumerate(clips)
        ]

    def __len__(self):
        return len(self.made)

    def __getitem__(self, index):
        return self.made[index]

    @staticmethod
    def collate(rows):
        length = max(row["input_ids"].shape[1] for row in rows)

        def padded(name, value):
            parts = [torch.nn.functional.pad(row[name], (0, length - row[name].shape[1]), value=value) for row in rows]
            return torch.cat(parts)

        fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
        whole = {name: padded(name, value) for name, value in fill.items()}
        return whole | {name: torch.cat([row[name] for row in rows]) for name in rows[0] if name not in fill}


def test_a_plain_trainer_takes_the_same_step_however_it_divides_the_batch(tiny, make_clip, tmp_path):
    samples = Samples(tiny, [make_clip(seed) for seed in range(8)])
    losses, norms = [], []
    for accumulate, size in ((1, 8), (2, 4), (8, 1)):
        trainer = Trainer(
            model=copy.deepcopy(tiny[0]),
            args=TrainingArguments(
                tmp_path / f"{size}",
                max_steps=1,
                logging_steps=1,
                per_device_train_batch_size=size,
                gradient_accumulation_steps=accumulate,
                use_cpu=True,
                report_to=[],
                remove_unused_columns=False,
                disable_tqdm=True,
                save_strategy="no",
            ),
            train_dataset=samples,
            data_collator=Samples.collate,
        )
        trainer.train()
        losses.append(trainer.state.log_history[0]["loss"])
        norms.append(trainer.state.log_history[0]["grad_norm"])
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-5)
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-3)


def test_the_losses_of_parts_add_up_to_that_of_the_whole(tiny, make_clip):
    model, _ = tiny
    samples = Samples(tiny, [make_clip(seed) for seed in range(4)])
    whole = Samples.collate(samples.made)
    labels = int((whole["labels"] != -100).sum())
    with torch.no_grad():
        parts = [model(**row, num_items_in_batch=labels) for row in samples.made]
        expected = model(**whole)
        at_once = model(**whole, num_items_in_batch=labels)
    torch.testing.assert_close(sum(part.language_loss for part in parts), expected.language_loss)
    assert sum(part.loss for part in parts).item() == pytest.approx(at_once.loss.item(), rel=1e-6)
    # The balance of experts is each video's own then, and weighs as much as the labels about it do.
    assert at_once.loss.item() == pytest.approx(expected.loss.item(), abs=1e-3)
