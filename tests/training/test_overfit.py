"""The model can learn: eight questions about eight clips, by heart."""

import pyarrow.parquet as pq
import pytest
import torch

from favchat.config import StageConfig
from favchat.model.build import build
from favchat.model.generation import answer
from favchat.training.batches.samples import read_clip
from favchat.training.stage.optimizer import make_optimizer, set_trainable

STEPS = 400
LEARNT = 0.01


@pytest.fixture(scope="module")
def eight(corpus):
    """Eight clips with a question each; half of the questions are the same words, so that only the clip tells."""
    clips = {row["clip_id"]: read_clip(row) for row in pq.read_table(corpus / "shards").to_pylist()}
    rows = pq.read_table(corpus / "annotations", filters=[("task", "==", "qa")]).to_pylist()
    chosen = {}
    for row in sorted(rows, key=lambda row: (row["family"] != "emotion", row["clip_id"])):
        if row["answer_type"] == "open":
            chosen.setdefault(row["clip_id"], row)
    picked = list(chosen.values())[:8]
    assert len(picked) == 8
    return (
        [clips[row["clip_id"]] for row in picked],
        [row["question"] for row in picked],
        [row["answer"] for row in picked],
    )


def test_eight_sample_questions_are_learnt_exactly(tiny_preset, eight):
    clips, questions, answers = eight
    assert len(set(answers)) > 2
    model, processor = build(tiny_preset.model, seed=0)
    set_trainable(model, ["adapter", "language_model"])
    stage = StageConfig(name="overfit", task="qa", learning_rate=3e-3, weight_decay=0.0)
    optimizer = make_optimizer(model, stage)
    batch = processor(text=[processor.prompt(question) for question in questions], videos=clips, answers=answers)
    for _ in range(STEPS):
        output = model(**batch)
        if output.language_loss < LEARNT:
            break
        loss = output.loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert answer(model.eval(), processor, clips, questions, max_new_tokens=200) == answers
