"""Questions that no video of a face answers, or that are never answered: who somebody is."""

from __future__ import annotations

import re

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
    r"thinking|nationality|come from|from which country|born|married|(?:is|are) they single|children|kids|"
    r"religion|religious|politic\w*|vote|voice|sound like|phone|address|favou?rite|hobby|hobbies|"
    r"healthy|ill|sick|intelligent|smart|lying|honest|strong|good person|languages?|filmed|recorded|which city|"
    r"weather|what (?:day|time|year) (?:is|was)|"
    r"happens next|did they do|behind the camera|holding the camera|outside (?:of )?the (?:picture|frame)|pockets?|"
    r"shoes|trousers|dog|pet|live in|they live|can they (?:swim|sing|drive|cook))\b|"
    r"\bwhat (?:is|are|do|does) they (?:say|saying|talking)\b"
)


def refusal(question: str) -> str | None:
    """The answer to a question that is refused, else None.

    Args:
        question: What was asked.
    """
    text = plain_words(question)
    if _WHO.search(text):
        return CANNOT_IDENTIFY
    return CANNOT_TELL if _NOT_IN_THE_PICTURE.search(text) else None
