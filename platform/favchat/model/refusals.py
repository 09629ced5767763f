"""Questions that no video of a face answers, or that are never answered: who somebody is.

Two rules: whatever asks for the unseen is refused, be it about somebody's smile ("why?", "whose brother?"); and so is
what names nothing that a model was taught, in words that nobody foresaw.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from favchat.labels.attribute_parser import parse_statements, without_attributes
from favchat.labels.english import is_english
from favchat.labels.everyday_templates import CANNOT_IDENTIFY, CANNOT_TELL, ENGLISH_ONLY
from favchat.labels.everyday_words import in_vocabulary
from favchat.labels.question_text import core, plain_words, spelt_out
from favchat.labels.question_words import is_about_course, unknown_matter, unknown_words
from favchat.labels.unseen_matters import asks_for_unseen

_WHO = re.compile(
    r"^(?:and |but |so )?who ?\??$|"
    r"\bwho(?: is| are|) (?:this|that|it|they|\?)(?! (?:\w+ing|look|smile|nod|talk)\b)|\bwho (?:\w+ )?(?:they|this|"
    r"that|it) (?:is|are|was)\b|\bwhose (?:face|video|picture)\b|^who is (?:in|on|shown)\b(?!.*\b(?:man|male)\b)|"
    r"\b(?:their|the) (?:last |first |full |real |own )?(?:sur)?names?\b|\bnames? (?:is |are )?(?:they|of (?:they|the|"
    r"this|that)|this|that)\b|\bnamed\b|\b(?:is|are) they called\b|\bcall(?:ed)? they\b|\b(?:identify|identity|"
    r"recogni[sz]e|famous|celebrit(?:y|ies)|someone known|well[- ]known)\b|\bwhich (?:actor|actress|singer|politician|"
    r"athlete|celebrity|person|one of the (?:actors|singers))\b|\b(?:know|seen?|met) (?:they|who)\b(?! (?:is |"
    r"are )?(?:\w+ing|with|has|have)\b)|\b(?:instagram|facebook|tiktok|twitter|linkedin|username|profile name|"
    r"full name|passport)\b|\bguess who\b|\bface recognition\b"
)
_SEX_ASKED = re.compile(r"\b(?:man|male|woman|female)\b.*\bor\b")
_REASON = re.compile(r"\b(?:why|how come|what for|because)\b")
_OF_THE_UNSEEN = re.compile(
    r"^when\b|^where\b(?!.*\b(?:look|gaz|star|eyes)\w*)|^(?:(?:to|with|for|from|of|at|by) )?(?:who|whom|whose)\b"
    r"(?! (?:do|can) you see\b)(?!.*\b(?:man|woman|male|female)\b.*\bor\b)"
)
_COURTESY_ALONE = re.compile(
    r"^(?:(?:yes|no|ok|okay|thanks?|thank you|thx|great|nice|cool|bye|goodbye|hi|hello|hey|good|well|wow|please|very|"
    r"much|so|you|too|lol|perfect|sorry|there)\b[,.! ]*)+$"
)
_PARTS = {
    r"nose|nostrils": ("big_nose", "pointy_nose"),
    r"eyebrows?|brows?": ("arched_eyebrows", "bushy_eyebrows"),
    r"skin|complexion|freckles": ("pale_skin", "rosy_cheeks"),
    r"cheeks?|cheek ?bones?": ("rosy_cheeks", "high_cheekbones"),
    r"eyes?": ("narrow_eyes", "bags_under_eyes"),
    r"lips?": ("big_lips", "wearing_lipstick"),
    r"ears?": ("wearing_earrings",),
    r"chin|jaw": ("double_chin",),
    r"forehead": ("bangs", "receding_hairline"),
}
"""Words for parts of the face, and the attributes of which a model has to know one to describe them."""
_TAUGHT_TOPIC = re.compile(
    r"\b(?:hair\w*|beard\w*|facial hair|moustache|mouth|head|faces?|facial|ages?|old|older|young\w*|expressions?|"
    r"express\w*|emotion\w*|moods?|feel\w*|wear\w*|accessor\w+|jewellery|makeup|gaze|looks?|looking|doing|what (?:do|"
    r"does|did) they do|what they do|happen\w*|going on|goes on|actions?|act|reacts?|behav\w+|describe|description|"
    r"caption|summari[sz]e|see|seen|shows?|shown|sex|gender|appearance|features?|quality|sharp\w*|clear|movements?|"
    r"mov(?:e|es|ing)|nods?|smil\w+)\b"
)


def refusal(question: str) -> str | None:
    """The answer to a question that is refused whatever a model was taught, else None.

    Args:
        question: What was asked, one sentence.
    """
    if asks_who(question):
        return CANNOT_IDENTIFY
    if not is_english(question):
        return ENGLISH_ONLY
    text = core(plain_words(question))
    if _REASON.search(text):
        return CANNOT_TELL
    if is_about_course(text):
        return None
    return CANNOT_TELL if _OF_THE_UNSEEN.search(text) or asks_for_unseen(text) else None


def asks_who(question: str) -> bool:
    """Whether a question asks who somebody is."""
    text = plain_words(question)
    return (_WHO.search(text) is not None and _SEX_ASKED.search(text) is None) or _is_name(core(text))


def _is_name(text: str) -> bool:
    """Whether plain words ask for somebody by first and last name: "is this ada lovelace"."""
    found = re.match(r"(?:is|was) (?:this|that|it|they) ([\w'-]+ [\w'-]+)$", text)
    return found is not None and len([one for one in unknown_words(found.group(1)) if not one.endswith("ly")]) == 2


def asks_nothing_taught(question: str, taught: Collection[str]) -> bool:
    """Whether a question is about nothing that a model was taught, or about a matter that it knows no word for.

    Args:
        question: What was asked, one sentence.
        taught: Attributes that the model was taught; of a part of the face without one it can tell nothing.
    """
    text = core(plain_words(question))
    if not text or _COURTESY_ALONE.match(spelt_out(question)):
        return False
    if is_about_course(text):
        return False
    text = in_vocabulary(text)
    named = {one.name for one in parse_statements(text)}
    if named and not named & set(taught):
        return True
    rest = without_attributes(text)
    parts = [set(names) & set(taught) for words, names in _PARTS.items() if re.search(rf"\b(?:{words})\b", rest)]
    if not named and (not all(parts) or not (parts or _TAUGHT_TOPIC.search(rest))):
        return True
    return unknown_matter(text) is not None
