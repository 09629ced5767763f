from favchat.face_scores.values import Calibration, Measured
from favchat.training.calibration import with_attributes

CARD = "# A model\n\n## Metrics\n\n1\n\n## Use\n\nask it\n"


def found(accuracy: float) -> Calibration:
    return Calibration({"hair": 1.2}, {"hair": 0.04}, {"bald": Measured(accuracy, 10, 90, 0.99, None)})


def test_a_card_says_how_well_each_attribute_is_told():
    card = with_attributes(CARD, found(0.9), "val")
    assert "| bald | 10 / 90 | 0.900 |" in card
    assert "hair 0.040" in card
    assert card.index("## Metrics") < card.index("## Attributes") < card.index("## Use")
    assert card.endswith("ask it\n")


def test_a_card_that_says_so_already_says_it_anew():
    card = with_attributes(with_attributes(CARD, found(0.8), "val"), found(0.9), "val")
    assert card.count("## Attributes") == 1
    assert "0.800" not in card
    assert card == with_attributes(CARD, found(0.9), "val")
