"""The attributes are CelebV-HQ's, in its order, and their wording makes English statements."""

import pytest

from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, FAMILIES, attribute


def test_there_are_83_with_unique_names() -> None:
    assert (len(APPEARANCE), len(ACTION), len(EMOTION)) == (40, 35, 8)
    assert len({a.name for a in (*APPEARANCE, *ACTION, *EMOTION)}) == 83


@pytest.mark.parametrize(
    ("table", "index", "name"),
    [
        (APPEARANCE, 0, "blurry"),
        (APPEARANCE, 1, "male"),
        (APPEARANCE, 20, "eyeglasses"),
        (APPEARANCE, 28, "no_beard"),
        (APPEARANCE, 29, "5_o_clock_shadow"),
        (APPEARANCE, 39, "wearing_mask"),
        (ACTION, 0, "blow"),
        (ACTION, 10, "head_wagging"),
        (ACTION, 16, "nod"),
        (ACTION, 19, "shake_head"),
        (ACTION, 24, "smile"),
        (ACTION, 34, "yawn"),
        (EMOTION, 0, "neutral"),
        (EMOTION, 7, "surprise"),
    ],
)
def test_the_order_is_the_datasets(table: tuple, index: int, name: str) -> None:
    assert table[index].name == name


def test_every_attribute_belongs_to_a_known_family_and_every_family_has_one() -> None:
    assert {a.family for a in (*APPEARANCE, *ACTION, *EMOTION)} == set(FAMILIES)


def test_lookup_knows_no_case() -> None:
    assert attribute("Wearing_Hat") is attribute("wearing_hat")
    with pytest.raises(KeyError, match="beard_of_bees"):
        attribute("beard_of_bees")


def test_the_label_no_beard_denies_the_statement_has_a_beard() -> None:
    assert attribute("no_beard").phrase == "a beard"
    assert not attribute("no_beard").holds(1)
    assert attribute("no_beard").holds(0)
    assert attribute("mustache").holds(1)
