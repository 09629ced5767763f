"""Which of a question's words say what it is about, and whether they are known.

A question is about an unknown matter where a noun or the predicate of its subject stands in no vocabulary: neither in
that of the attributes, nor among the words that every question about a face may use. Unknown adjectives and adverbs
elsewhere change little.
"""

from __future__ import annotations

import re

from favchat.labels.attribute_parser import ATTRIBUTE_WORD, parse_statements, without_attributes
from favchat.labels.attributes import attribute

_DETERMINERS = frozenset(
    str.split(
        "the a an their my your our its any some no what which whose this that these those of on in at with "
        "without for about under over near around from by into onto during"
    )
)
_HAVING = frozenset(str.split("see sees seeing notice show shows have has had having got wear wears wearing"))
"""Verbs that an object follows, with or without an article."""
_FUNCTION = _DETERMINERS | frozenset(
    str.split(
        "is are was were be been being am do does did done has have had having got get can could may might "
        "would should must i me you we us it they one he she and or not nor n't but if whether that than then "
        "as so to too there here who how where when please all only just both either neither each other every"
    )
)
_ADVERBS = frozenset(
    str.split(
        "really actually currently now right still also very quite bit little slightly kind sort type "
        "somewhat maybe perhaps probably definitely clearly some somehow somewhere sometimes point moment "
        "while whole entire more less most least rather again even almost nearly fully completely totally "
        "pretty super much lot lots many few present obviously visibly apparently basically exactly roughly "
        "approximately approx about around generally overall mostly mainly like look-like else away apart "
        "together straight directly back forth up down left side sides front top opposed instead good well "
        "nice own same different such briefly shortly quickly short brief detailed detail details yes correct "
        "true false enough today nowadays"
    )
)
_PICTURE = frozenset(
    str.split(
        "video clip picture image camera footage film movie scene view quality focus colour colours colored "
        "summary second seconds start beginning end course order time times throughout over first last shown "
        "shows show showing see sees seen seeing visible recognizable noticeable notice find tell told say "
        "said name give describe description describing summarize summarise caption write sentence sentences "
        "word words way terms short point list question answer"
    )
)
_FACE = frozenset(
    str.split(
        "person persons people someone human man woman face faces facial head heads hair hairs haired "
        "hairstyle haircut hairdo hairline eye eyes mouth lip lips tooth teeth neck ear ears beard chin "
        "forehead cheek cheeks brow brows eyebrows eyebrow nose skin complexion feature features appearance "
        "looks look looking looked looklike seem seems seeming appear appears appearing expression "
        "expressions express expresses emotion emotions emotional feeling feelings feel feels mood moods "
        "state emotionally age ages aged old older year years young younger teen teens sex gender wear wears "
        "wearing wore worn weared put dressed accessory accessories jewellery makeup cosmetics thing things "
        "something anything nothing stuff item items object pair action actions activity activities doing do "
        "did does happen happens happening happened going on goes go perform performs performing act behave "
        "behaving behaviour reaction react reacting move moves moving moved movement movements motion motions "
        "gesture gestures gaze direction stare staring shape style styled length kind type sort sporting "
        "sport sports rock rocks rocking having has keep keeps keeping hold holds holding hide covered cover covers "
        "covering make makes making made give gives giving get gets getting start starts begin begins stop "
        "stops try trying turn turns change changes stay stays become becomes show stand stands out black "
        "brown blonde blond gray dark fair hiding hides use uses using tell tells possible chance sign signs "
        "trace hint display grown call consider guess think estimate describe identify fit fits best word "
        "choose pick options option one remain remains develop develops follow follows read can come comes"
    )
)
_KNOWN = _FUNCTION | _ADVERBS | _PICTURE | _FACE
_COURSE = re.compile(
    r"\b(?:changes?|changing|stays?|same|constant|develops?|course|order|become|becomes|turn|follow|single|throughout|"
    r"first|last|earlier|later|beginning|start|end|ends|before|after|when|over the|from when|go(?:es)? from|"
    r"happens to|second|seconds)\b"
)
_FEELING = re.compile(r"\b(?:expressions?|emotions?|moods?|feels?|feelings?|faces?|look|looks|looking|different)\b")
"""What changes in the course of a clip, and the words for that: the language model was taught it."""
_NOUNS = (_FACE | _PICTURE | {ATTRIBUTE_WORD}) - _FUNCTION - _ADVERBS
_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
_DEGREE = (
    r"(?:not |ever |also |still |really |just |even |actually |currently |now |more |very |too |a bit |a little |"
    r"quite |so |like |an? |already )*"
)
_PREDICATES = tuple(
    re.compile(words)
    for words in (
        r"\b(?:do|does|did|don't|doesn't|didn't|can|could|would|should|will|may|might) (?:they|it|you|one|i|we) "
        rf"{_DEGREE}([a-z]+)",
        rf"\b(?:is|are|was|were|isn't|aren't|be|been) they {_DEGREE}([a-z]+)\b",
        rf"\bthey (?:looks?|seems?|appears?|is|are) {_DEGREE}([a-z]+)\b",
        rf"\b(?:has|have|had|haven't|hasn't) they {_DEGREE}([a-z]+(?:ed|en))\b",
        rf"\b(?:{ATTRIBUTE_WORD}|hair|face|mouth|head|eyes|expression|smile) (?:is |are |was |looks |seems )?{_DEGREE}"
        r"([a-z]+)$",
        rf"^(?:is|are|was|were|does|do|did|has|have) (?:their|the|a|an|my|your|our) ([a-z]+) {ATTRIBUTE_WORD}\b",
    )
)
"""The main verb, the adjective that is said of whoever is asked about, and that of an attribute or a part of
the face; whose brother it is ("is their brother smiling")."""


def unknown_matter(text: str) -> str | None:
    """The first noun or predicate that a question is about and that no vocabulary holds, else None.

    Args:
        text: Plain words, see ``favchat.labels.question_text.plain_words``.
    """
    rest = without_attributes(text)
    words = _WORD.findall(rest)
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        after = words[place + 1] if place + 1 < len(words) else ""
        # An unknown word before a noun that is known is an adjective: "a thick beard".
        is_noun = before in _DETERMINERS | _HAVING and after not in _NOUNS
        if is_noun and word not in _KNOWN and word != ATTRIBUTE_WORD:
            return word
    for word in (found.group(1) for predicate in _PREDICATES for found in predicate.finditer(rest)):
        if word not in _KNOWN and word != ATTRIBUTE_WORD and not word.endswith("ly"):
            return word
    return None


def unknown_words(text: str) -> list[str]:
    """All words of a question that no vocabulary holds."""
    return [word for word in _WORD.findall(without_attributes(text)) if word not in _KNOWN and word != ATTRIBUTE_WORD]


def is_about_course(text: str) -> bool:
    """Whether plain words ask how an expression changes."""
    shown = _FEELING.search(text) or any(attribute(one.name).kind == "emotion" for one in parse_statements(text))
    return bool(shown) and _COURSE.search(text) is not None
