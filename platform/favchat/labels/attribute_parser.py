"""Which attributes a free English text states or denies.

Written for this project: a vocabulary of the 83 attributes, and negation by clause. A clause ends at punctuation, at
"but" or "while", and where "and" is followed by another verb or subject; inside a clause everything after a word such
as "not", "no" or "without" is denied. Words outside the vocabulary are ignored, so a
missing attribute is not evidence of its absence.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_HAIR_WORD = (
    "(?:long|medium-length|shoulder-length|short|straight|wavy|curly|thick|thin|loose|tied"
    "|black|blonde?|gr[ae]y|silver|reddish|(?:dark-|light-)?brown|dark|light)"
)
# Follows an adjective about hair, possibly with other such adjectives in between.
_HAIR = rf"(?=(?:,? (?:and |or )?{_HAIR_WORD})*[ -]hair(?:ed)?\b)"
_THEIR = r"(?:(?:his|her|their|the|its|both|closed) )?"

_VOCABULARY: tuple[tuple[str, str], ...] = (
    ("male", r"man|male|boy|gentleman|guy|men"),
    ("-male", r"woman|female|girl|lady|women"),
    ("young", r"young|youthful"),
    ("-young", r"elderly|middle-aged|older|aged|senior|old (?=man|woman|person|lady|gentleman)"),
    ("blurry", r"blurry|blurred|out of focus"),
    ("-blurry", r"(?:video|image|picture|clip) is (?:sharp|clear|in focus)"),
    ("chubby", r"chubby|plump"),
    ("pale_skin", r"pale[ -](?:skin|skinned|complexion|face)|(?:skin|complexion) (?:is|looks) (?:very )?pale"),
    ("rosy_cheeks", r"rosy cheeks|rosy-cheeked|cheeks are rosy"),
    ("oval_face", r"oval(?:-shaped)? face|face is oval(?:-shaped)?|oval-faced"),
    ("receding_hairline", r"receding (?:hairline|hair)|hairline is receding"),
    ("bald", r"bald"),
    ("bangs", r"bangs|fringe"),
    ("black_hair", rf"black{_HAIR}"),
    ("blonde_hair", rf"blonde?{_HAIR}"),
    ("gray_hair", rf"(?:gr[ae]y|silver){_HAIR}"),
    ("brown_hair", rf"brown{_HAIR}|brunette"),
    ("straight_hair", rf"straight{_HAIR}"),
    ("wavy_hair", rf"wavy{_HAIR}"),
    ("long_hair", rf"long{_HAIR}"),
    ("-long_hair", rf"short{_HAIR}"),
    ("arched_eyebrows", r"arched (?:eye)?brows|(?:eye)?brows are arched"),
    ("bushy_eyebrows", r"(?:bushy|thick) (?:eye)?brows|(?:eye)?brows are (?:bushy|thick)"),
    ("bags_under_eyes", r"bags (?:are )?(?:\w+ )?(?:under|beneath|below)|under-?eye bags|eye bags"),
    ("sunglasses", r"sunglasses|dark glasses|shades"),
    ("eyeglasses", r"eyeglasses|glasses|spectacles"),
    ("narrow_eyes", r"narrow eyes|eyes are narrow|narrow-eyed"),
    ("big_nose", r"(?:big|large|prominent) nose|nose is (?:big|large)"),
    ("pointy_nose", r"(?:pointy|pointed) nose|nose is (?:pointy|pointed)"),
    ("high_cheekbones", r"high cheek ?bones|cheek ?bones are high"),
    ("big_lips", r"(?:big|full|large|thick) lips|lips are (?:big|full|large|thick)"),
    ("double_chin", r"double chin"),
    ("-no_beard -goatee -mustache", r"clean[- ]shaven"),
    ("full_beard no_beard", r"full beard"),
    ("no_beard", r"beard|bearded|beards"),
    ("5_o_clock_shadow", r"(?:five|5)[- ]o'?clock shadow|stubble"),
    ("goatee", r"goatee"),
    ("mustache", r"mo?ustache"),
    ("sideburns", r"sideburns?"),
    ("heavy_makeup", r"heavy (?:\w+ )?make-?up|heavily made[- ]up"),
    ("wearing_earrings", r"ear ?rings?"),
    ("wearing_hat", r"hat|cap|beanie|headgear"),
    ("wearing_lipstick", r"lipstick"),
    ("wearing_necklace", r"necklace"),
    ("wearing_necktie", r"(?:neck)?tie"),
    ("wearing_mask", r"mask|masked"),
    ("kiss", r"kiss(?:es|ing)?|blow(?:s|ing)? (?:a kiss|kisses)"),
    ("blow", r"blow(?:s|ing)?"),
    ("chew", r"chew(?:s|ing)?"),
    (
        "close_eyes",
        rf"clos(?:e|es|ing) (?:and open(?:ing)? )?{_THEIR}eyes|eyes (?:are |remain |stay )?(?:closed|shut)|closed eyes",
    ),
    ("cough", r"cough(?:s|ing)?"),
    ("cry", r"cry|cries|crying|in tears"),
    ("drink", r"drink(?:s|ing)?"),
    ("eat", r"eat(?:s|ing)?"),
    ("frown", r"frown(?:s|ing)?"),
    ("gaze", r"gaz(?:e|es|ing)"),
    ("glare", r"glar(?:e|es|ing)"),
    ("head_wagging", rf"wag(?:s|ging)? {_THEIR}head"),
    ("laugh", r"laugh(?:s|ing|ter)?"),
    ("listen_to_music", r"listen(?:s|ing)? to music"),
    ("look_around", r"look(?:s|ing)? around"),
    ("make_a_face", r"(?:mak(?:e|es|ing)|pull(?:s|ing)?) (?:a )?(?:funny |silly )?faces?|grimac(?:e|es|ing)"),
    ("nod", rf"nod(?:s|ding)?(?: {_THEIR}head)?"),
    ("play_instrument", r"play(?:s|ing)? (?:an |a |the )?(?:musical )?(?:instrument|guitar|piano|violin|flute|drums?)"),
    ("read", r"read(?:s|ing)?"),
    ("shake_head", rf"shak(?:e|es|ing) {_THEIR}head"),
    ("shout", r"shout(?:s|ing)?|yell(?:s|ing)?|scream(?:s|ing)?"),
    ("sigh", r"sigh(?:s|ing)?"),
    ("sing", r"sing(?:s|ing)?"),
    ("sleep", r"sleep(?:s|ing)?|asleep"),
    ("smile", r"smil(?:e|es|ing)|grin(?:s|ning)?"),
    ("smoke", r"smok(?:e|es|ing)"),
    ("sneer", r"sneer(?:s|ing)?"),
    ("sneeze", r"sneez(?:e|es|ing)"),
    ("sniff", r"sniff(?:s|ing|ling)?"),
    ("talk", r"talk(?:s|ing)?|speak(?:s|ing)?"),
    ("blink", r"blink(?:s|ing)?"),
    ("turn", rf"turn(?:s|ing)? {_THEIR}(?:head|face|away|aside)"),
    ("weep", r"weep(?:s|ing)?|sob(?:s|bing)?"),
    ("whisper", r"whisper(?:s|ing)?"),
    ("wink", r"wink(?:s|ing)?"),
    ("yawn", r"yawn(?:s|ing)?"),
    ("neutral", r"neutral|expressionless"),
    ("anger", r"angry|angrily|anger|furious"),
    ("contempt", r"contemptuous(?:ly)?|contempt|scornful|disdainful"),
    ("disgust", r"disgusted|disgust"),
    ("happy", r"happy|happily|happiness|joyful|cheerful|delighted|joy"),
    ("fear", r"fearful(?:ly)?|fear|afraid|scared|frightened"),
    ("sadness", r"sad|sadly|sadness|sorrowful|unhappy"),
    ("surprise", r"surprised|surprise|astonished"),
    ("senior", r"over (?:sixty|60)"),
    ("mouth_open", r"mouth (?:is )?open|open mouth"),
    ("-mouth_open", r"mouth (?:is )?(?:closed|shut)|closed mouth"),
    ("look_away", r"look(?:s|ing)? away"),
    ("-look_away", r"look(?:s|ing)? (?:at|into) (?:the camera|us)"),
    ("grayscale", r"black and white"),
    ("-grayscale", r"in colou?r"),
)
"""Attribute names and the words that state them; a minus before a name: the words deny it. The statement of
``no_beard`` is "has a beard", see ``favchat.labels.attributes.Attribute.negated``."""

_MEANINGS = tuple(
    tuple((name.removeprefix("-"), not name.startswith("-")) for name in names.split(" ")) for names, _ in _VOCABULARY
)


def _alternatives(words: str) -> list[str]:
    """A regular expression's alternatives, split outside of its brackets."""
    parts, depth, begin = [], 0, 0
    for place, letter in enumerate(words):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            parts.append(words[begin:place])
            begin = place + 1
    return [*parts, words[begin:]]


_ALTERNATIVES = [(index, words) for index, (_, some) in enumerate(_VOCABULARY) for words in _alternatives(some)]
# Each alternative begins with its own letters, which `re` compares before anything else, and ends with an empty group
# that says which one it was: 2.5 times as fast as a group around each.
_WORDS = re.compile(r"\b(?:" + "|".join(words + r"\b()" for _, words in _ALTERNATIVES) + ")")
_SEX_WORDS = frozenset(index for index, (names, _) in enumerate(_VOCABULARY) if names.endswith("male"))
_DEFINITE = re.compile(
    r"\b(?:the|this|that|these|those) (?:(?:young|old|older|elderly|bald|bearded|smiling|same|[\w-]+-haired) ){0,2}$"
)
_NOT_A = re.compile(r"(?:\b(?:not|no)|n't) (?:an? )?(?:[\w-]+ )?$")
_PRONOUNS = re.compile(r"\b(?:(he|him|his|himself)|(she|her|hers|herself))\b")
_FOLLOWERS = (
    "he she they it is are has have had wears wear looks look seems seem appears appear does do was were the his her "
    "their with without wearing there this that not no smiles talks nods speaks then shows"
).replace(" ", "|")
_CLAUSE_END = re.compile(
    r"[.;:!?]+"
    r"|,?\s+(?:but|while|whereas|although|though|yet|however|instead|because)\b,?"
    rf"|,?\s+and\s+(?=(?:{_FOLLOWERS})\b)"
    rf"|,\s+(?=(?:and\s+)?(?:{_FOLLOWERS}|a young|an? )\b)"
)
_DENIAL = re.compile(
    r"\b(?:(no)|not|never|without|neither|nor|none|lacks?|lacking|cannot|hardly|barely|\w+n't|free of|absence of"
    r"|rather than|instead of)\b"
)
_LATER_DENIAL = re.compile(r"^[^,]{0,20}?\b(?:(?:is|are) (?:not|absent|missing)|cannot be|can't be|(?:is|are)n't)\b")
_NO_DENIAL = re.compile(r"\bnot only\b|\bno doubt\b|\bno longer than\b")
_HAIR_IS = re.compile(rf"\bhair (?:is |looks |appears )?((?:not )?{_HAIR_WORD}(?:,? (?:and |or )?{_HAIR_WORD})*)\b")
_ARTICLE_AGAIN = re.compile(r"(?:\band|,) an? ")


class Statement(NamedTuple):
    """One attribute that a text states or denies."""

    name: str
    """Which attribute."""
    holds: bool
    """Whether its statement is said to hold."""
    presupposed: bool = False
    """Whether the text takes it for granted rather than says it ("the woman", "her"): a question's answer does not
    touch it."""


@lru_cache(maxsize=65536)
def parse_statements(text: str) -> tuple[Statement, ...]:
    """Attributes that a text states or denies, in order of appearance; repeated ones are repeated."""
    text = _NO_DENIAL.sub("", text.lower().replace("’", "'"))
    text = _HAIR_IS.sub(r"\1 hair", text)
    found: list[Statement] = []
    begin = 0
    for end in [*_CLAUSE_END.finditer(text), None]:
        found += _of_clause(text[begin : end.start() if end else None])
        begin = end.end() if end else begin
    return tuple(found)


ATTRIBUTE_WORD = "attribute"
"""What stands for the words of an attribute in :func:`without_attributes`."""


@lru_cache(maxsize=4096)
def without_attributes(text: str) -> str:
    """A text in small letters in which one word stands in the place of whatever states an attribute."""
    return _WORDS.sub(ATTRIBUTE_WORD, _HAIR_IS.sub(r"\1 hair", _NO_DENIAL.sub("", text)))


def _of_clause(clause: str) -> list[Statement]:
    found = [(m.start(), Statement("male", m.group(1) is not None, True)) for m in _PRONOUNS.finditer(clause)]
    denials = list(_DENIAL.finditer(clause))
    for match in _WORDS.finditer(clause):
        index = _ALTERNATIVES[(match.lastindex or 1) - 1][0]
        before = clause[: match.start()]
        if index in _SEX_WORDS:
            definite = _DEFINITE.search(before) is not None
            denied = not definite and _NOT_A.search(before) is not None
        else:
            definite = False
            denied = any(_reaches(denial, clause, match.start()) for denial in denials) or (
                _LATER_DENIAL.match(clause[match.end() :]) is not None
            )
        found += [(match.start(), Statement(name, holds != denied, definite)) for name, holds in _MEANINGS[index]]
    return [statement for _, statement in sorted(found, key=lambda pair: pair[0])]


def _reaches(denial: re.Match[str], clause: str, position: int) -> bool:
    """Whether a negation covers a position: in "no beard and a hat" it does not cover the hat."""
    if denial.end() > position:
        return False
    return denial.group(1) is None or _ARTICLE_AGAIN.search(clause, denial.end(), position) is None
