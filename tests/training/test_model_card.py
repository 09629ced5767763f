"""What a trained model's card says of its data and its loss; no model is needed for that."""

import pytest
from huggingface_hub import ModelCard

from favchat.config import load
from favchat.training.model_card import model_card
from jobs.commands.settings import CONFIGS


def card(*words, metrics=None):
    config = load(CONFIGS / "tiny.yaml", ["data.out=/somewhere/of/mine/clips", *words])
    stage = config.training.stages[1]
    found = model_card(
        config, stage, steps=7, samples=1234, losses=(2.5, 1.25), metrics=metrics or {}, init="/somewhere/of/mine/run"
    )
    assert "somewhere" not in found  # where data and models lay is nobody's business
    return ModelCard(found).text


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ([], ["| samples | task qa, split train, selected ones |", "| a step | 4 samples |"]),
        (
            ["training.split=most", "training.stages.1.selected=null", "training.stages.1.tokens=2048"],
            ["| samples | task qa, split most, all |", "| a step | 2,048 tokens |"],
        ),
        (
            [
                "training.stages.1.split=other",
                "training.stages.1.families=[emotion, hair]",
                "training.stages.1.mix=[{task: summary, share: 0.25, selected: false}]",
            ],
            [
                "| samples | task qa, split other, selected ones, families emotion, hair |",
                "| mixed in | 25%: task summary, split train, those not selected |",
            ],
        ),
    ],
)
def test_the_data_is_what_the_stage_read(words, rows):
    text = card(*words)
    for row in ("| corpus | `clips` |", "| samples an epoch | 1,234 |", "| steps | 7 |", *rows):
        assert row in text
    assert ("mixed in" in text) == any("mix=" in word for word in words)


def test_a_loss_that_was_not_measured_is_not_told():
    assert "| loss a token on `val` | not measured |" in card()
    assert "| loss a token on `val` | 0.1235 |" in card(metrics={"val_loss": 0.12349})
    assert "| training loss a token, last tenth of the steps | 1.2500 |" in card()
