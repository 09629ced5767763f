"""What is plain, what is not, and why; the profile; the questions that are offered."""

import re
from pathlib import Path

from favchat.face_scores.report import ATTRIBUTES
from tests.ui.conftest import described, scored
from ui.library import Clip
from ui.profile import profile
from ui.questions import OFFERS, chips
from ui.result_card import result_card, split


def clip(**options) -> Clip:
    return Clip("a<b.mp4", Path("a"), state="ready", video=described(**options), scores=scored())


def test_what_is_plain_is_sure_and_well_told() -> None:
    sure, unsure = split(scored()["attributes"])
    assert [row["name"] for row in sure] == [
        "male",
        "long_hair",
        "smile",
    ]  # absent: only where it has a word of its own
    assert [row["name"] for row in unsure] == ["eyeglasses", "wearing_necklace"]  # the last is told too badly


def test_the_card_names_doubts_and_escapes_names() -> None:
    card = result_card(clip(people=3, readable=0.526))
    assert "a&lt;b.mp4" in card and "female" in card
    assert "3 faces are seen at once. This is about the one on the &lt;left&gt;." in card
    assert "Only 53 % of the clip" in card and "The face has 40 pixels" in card


def test_a_clip_that_fails_says_why_and_offers_to_try_again() -> None:
    one = Clip("x", Path("x"), state="failed", error="no <video>")
    assert "no &lt;video&gt;" in result_card(one) and 'data-do="retry"' in result_card(one)
    assert "Waiting" in result_card(Clip("x", Path("x")))


def test_the_profile_can_be_sorted_and_lists_what_was_not_taught_on_demand() -> None:
    def names(*how) -> list[str]:
        return re.findall(r'<th scope="row">([^<]*)', profile(scored(), *how))

    assert len(names()) == 9 and len(names("Family", True)) == len(ATTRIBUTES)
    assert names("Score")[0] == "smiling" and names("Name") == sorted(names("Name"), key=str.lower)
    assert names("How well it is told")[-1] == "wearing a necklace"


def test_offers_name_attributes_that_exist() -> None:
    known = {one.name for one in ATTRIBUTES}
    assert {name for offers in OFFERS.values() for offer in offers for name in offer.about} <= known
    greyed = chips(["smile"]).count("aria-disabled")
    assert greyed == sum(len(offers) for offers in OFFERS.values()) - 2  # describing, and smiling
