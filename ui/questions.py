"""Questions to begin with, by family; what the model was not taught is greyed and says so."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from html import escape
from typing import NamedTuple


class Offer(NamedTuple):
    """A question that is asked at a click."""

    text: str
    about: tuple[str, ...]
    """Attributes of which the model must know one; none: any model can be asked."""


OFFERS: dict[str, tuple[Offer, ...]] = {
    "The face": (
        Offer("Describe this person.", ()),
        Offer("Man or woman?", ("male",)),
        Offer("How old does the person look?", ("young", "senior", "child")),
    ),
    "Expression": (
        Offer("What is the person's expression?", ("happy", "sadness", "neutral")),
        Offer("Is the person smiling?", ("smile",)),
        Offer("Is the mouth open?", ("mouth_open",)),
        Offer("Is the person crying?", ("cry",)),
    ),
    "Movement": (
        Offer("Is the person nodding?", ("nod",)),
        Offer("Is the person shaking the head?", ("shake_head",)),
        Offer("Is the person looking away?", ("look_away",)),
        Offer("Is the person talking?", ("talk",)),
    ),
    "Hair": (
        Offer("What colour is the hair?", ("black_hair", "blonde_hair", "brown_hair", "gray_hair")),
        Offer("Is the hair long?", ("long_hair",)),
        Offer("Does the person have a beard?", ("no_beard", "full_beard", "goatee")),
    ),
    "Worn": (
        Offer("Is the person wearing glasses?", ("eyeglasses",)),
        Offer("Is the person wearing a hat?", ("wearing_hat",)),
        Offer("Is the person wearing make-up?", ("heavy_makeup", "wearing_lipstick")),
        Offer("Is the person wearing a mask?", ("wearing_mask",)),
    ),
    "Shape": (
        Offer("What does the nose look like?", ("big_nose", "pointy_nose")),
        Offer("Are the lips full?", ("big_lips",)),
        Offer("What do the eyebrows look like?", ("arched_eyebrows", "bushy_eyebrows")),
    ),
}
"""By family, in the page's words."""


def chips(taught: Collection[str]) -> str:
    """The offers as buttons.

    Args:
        taught: Names of the attributes that the model was taught.
    """
    families = "".join(
        f'<div class="fc-family"><span id="fc-family-{number}">{escape(family)}</span>'
        f'<div role="group" aria-labelledby="fc-family-{number}">'
        f"{''.join(_chip(offer, not offer.about or bool(set(offer.about) & set(taught))) for offer in offers)}"
        "</div></div>"
        for number, (family, offers) in enumerate(OFFERS.items())
    )
    return f'<details class="fc-offers" open><summary>Questions to begin with</summary>{families}</details>'


def offered() -> Iterator[str]:
    """All questions that are offered."""
    return (offer.text for offers in OFFERS.values() for offer in offers)


def _chip(offer: Offer, known: bool) -> str:
    text = escape(offer.text)
    if known:
        return f'<button type="button" data-do="ask" data-text="{text}">{text}</button>'
    return (
        f'<button type="button" aria-disabled="true" title="The model was not taught this.">{text} '
        "<small>not taught</small></button>"
    )
