"""Questions that no video of a face answers, or that are never answered: who somebody is."""

from __future__ import annotations

import re
from collections.abc import Collection

from favchat.labels.attributes import attribute
from favchat.labels.everyday_templates import CANNOT_IDENTIFY, CANNOT_TELL
from favchat.model.open_answers import plain_words

_WHO = re.compile(
    r"\bwho(?:'s| is| are)(?: this| that| it| they|\?)|\bwho (?:they|this|that|it) (?:is|are)\b|\bwhose face\b|"
    r"\btheir (?:last |first |full )?name\b|\bname (?:they|of (?:they|the|this)|this)\b|"
    r"\b(?:identify|recogni[sz]e|famous|celebrity|somebody known)\b|"
    r"\bwhich (?:actor|actress|singer|politician|athlete|celebrity|person)\b"
)
_NOT_IN_THE_PICTURE = re.compile(
    r"\b(?:job|profession|occupation|(?:for|a) (?:a )?living|salary|rich|poor|wealthy|weigh|weight|tall|height|"
    r"left-handed|in love|truth|"
    r"thinking|nationality|come from|from which country|born|married|(?:is|are) they single|children|kids|"
    r"religion|religious|politic\w*|vote|voice|sound like|phone|address|favou?rite|hobby|hobbies|"
    r"healthy|ill|sick|intelligent|smart|lying|honest|strong|good person|languages?|filmed|recorded|which city|"
    r"weather|what (?:day|time|year) (?:is|was)|"
    r"happens next|did they do|behind the camera|holding the camera|outside (?:of )?the (?:picture|frame)|pockets?|"
    r"shoes|trousers|dog|pet|live in|they live|can they (?:swim|sing|drive|cook))\b|"
    r"\bwhat (?:is|are|do|does) they (?:say|saying|talking)\b|\b(?:can|could) they (?:speak|talk)\b|"
    r"\bcolou?r (?:is|are|have) their (?:eyes?|shirt|clothes|top)\b|\beye colou?r\b|"
    r"\b(?:hum(?:s|ming)?|whistl(?:e|es|ing)|blink(?:s|ing)?|tattoos?|rings?|carry|carrying|fingers|"
    r"sitting|standing|background)\b|\bhold(?:s|ing)? (?!their head|the head)"
)
_PARTS = {
    "nose": re.compile(r"\bnose\b"),
    "brows": re.compile(r"\beyebrows?\b"),
    "skin": re.compile(r"\b(?:skin|freckles|complexion)\b"),
}
"""Families of attributes, and the words for what they are about."""


def refusal(question: str, taught: Collection[str] = ()) -> str | None:
    """The answer to a question that is refused, else None.

    Args:
        question: What was asked.
        taught: Attributes that the model was taught; of a part of the face without one it cannot tell.
    """
    text = plain_words(question)
    if _WHO.search(text):
        return CANNOT_IDENTIFY
    families = {attribute(name).family for name in taught}
    unknown = any(words.search(text) for family, words in _PARTS.items() if family not in families)
    return CANNOT_TELL if unknown or _NOT_IN_THE_PICTURE.search(text) else None
