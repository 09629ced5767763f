"""The pieces of docs/ecosystem.md, run as they stand there."""

import copy
import logging
import re
from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainingArguments

from jobs.quickstart import SAMPLE

DOCUMENT = Path(__file__).parents[2] / "docs" / "ecosystem.md"


@pytest.fixture(scope="module")
def ran(tiny, centerface, tmp_path_factory):
    """What the pieces leave behind, one after the other, on the tiny model; and the folder where they ran."""
    place = tmp_path_factory.mktemp("ecosystem")
    for part in tiny:
        part.save_pretrained(place / "MODEL")
    for name, clip in (("one.mp4", "capture_0.mp4"), ("two.mp4", "franck_0.mp4")):
        (place / name).symlink_to(SAMPLE / "clips" / clip)
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("ACCELERATE_USE_CPU", "true")
        for piece in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL):
            exec(compile(piece, str(DOCUMENT), "exec"), names)  # noqa: S102 - our own document
    return names, place


def test_a_chat_and_the_pipeline_are_answered(ran):
    names, _ = ran
    assert isinstance(names["answer"], str) and isinstance(names["told"], str)


def test_the_adapter_learnt_and_nothing_else(ran, tiny):
    names, place = ran
    tuned = type(tiny[0]).from_pretrained(place / "RUN" / "tuned").state_dict()
    changed = {name for name, value in tiny[0].state_dict().items() if not torch.equal(value, tuned[name])}
    assert changed and all(name.startswith("model.adapter.") for name in changed)
    assert names["losses"].training_loss > 0


def test_updates_come_back_with_the_answers_they_gave(ran):
    names, _ = ran
    batch = names["collate"](names["samples"][:1])
    with torch.no_grad():
        expected = names["updated"].eval()(**batch).logits
        torch.testing.assert_close(names["again"].eval()(**batch).logits, expected)
        with names["again"].disable_adapter():
            assert not torch.allclose(names["again"](**batch).logits, expected, atol=1e-4)


def test_a_training_goes_on_where_it_was(ran, tiny, tmp_path, caplog, monkeypatch):
    names, place = ran
    monkeypatch.chdir(place)
    config = copy.deepcopy(tiny[0].config)
    config.text_config.tie_word_embeddings = config.tie_word_embeddings = True  # so that a checkpoint lacks a weight
    logging.getLogger("transformers.trainer").addHandler(caplog.handler)
    for steps, resume in ((1, None), (2, True)):
        arguments = TrainingArguments(
            tmp_path, max_steps=steps, use_cpu=True, remove_unused_columns=False, report_to="none", disable_tqdm=True
        )
        trainer = Trainer(type(tiny[0])(config), arguments, names["collate"], names["samples"])
        trainer.train(resume_from_checkpoint=resume)
    logging.getLogger("transformers.trainer").removeHandler(caplog.handler)
    assert trainer.state.global_step == 2
    assert trainer.model.lm_head.weight is trainer.model.get_input_embeddings().weight
    assert "missing keys" not in caplog.text


def test_trl_trains(ran):
    names, _ = ran
    assert names["taught"].training_loss > 0 and names["sft"].state.global_step == 2
