"""Answers to open questions about the face, worded from the scores, so that they never contradict them.

The sentences are those that the language model was taught (``favchat.data.annotate.everyday_writer``), filled with what
is likely. A question whose topic is not understood, or of whose topic nothing is likely, is left to the language model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from favchat.data.annotate.everyday_writer import Known, open_answers
from favchat.labels.attributes import EMOTION
from favchat.labels.everyday_words import in_vocabulary
from favchat.labels.question_text import core, plain_words
from favchat.labels.question_words import is_about_course, unknown_matter

_TOPICS = tuple(
    (topic, re.compile(words))
    for topic, words in (
        ("hair colour", r"\bcolour\b.*\bhair\b|\bhair\b.*\bcolour\b|\bhair (?:black|brown|blonde?|gray),? "),
        ("facial hair", r"\bfacial hair\b|\bbeard(?:ed)? or (?:clean-?)?shaven\b|\bbeard or (?:no|not)\b"),
        ("facial hair", r"\b(?:what|which|describe|how)\b.*\bbeard\b"),
        ("hair", r"\b(?:what|how|describe|tell me about|which)\b.*\b(?:hair|hairstyle|haircut|hairdo)\b"),
        ("hair", r"^(?:the |their )?(?:hair|hairstyle|haircut|hairdo)$"),
        ("makeup", r"\b(?:what|any|describe|wear|wearing|have|has|got|use|uses|using|how much)\b.*\bmakeup\b"),
        ("age", r"\bhow (?:many years )?old\b|\bage group\b|\byoung(?:,| or\b).*\b(?:old|sixty)\b"),
        (
            "age",
            r"^(?:(?:what|about|rough|approximate|estimated?|guess|give|tell|name)\b.*|their |the )?\b(?:age|"
            r"how young)\b",
        ),
        (
            "age",
            r"\b(?:older|younger|over|under|above|below|more|less|about|around|at least)(?: than)? \d+\b|"
            r"\b\d+ years old\b|\b(?:twen|thir|for|fif|six|seven|eigh|nine)ties\b|\b[1-9]0'?s\b",
        ),
        ("sex", r"\b(?:man or (?:a )?woman|woman or (?:a )?man|male or (?:a )?female|female or (?:a )?male)\b"),
        ("sex", r"\b(?:guy|boy|man) or (?:a )?(?:girl|lady|woman)\b|\b(?:girl|lady|woman) or (?:a )?(?:guy|boy|man)\b"),
        ("sex", r"\b(?:sex|gender)\b"),
        ("head motion", r"\bhead (?:do|does|doing|move|moves|moving)\b|\bmov(?:e|es|ing) (?:their|the) head\b"),
        ("head motion", r"\bdo(?:es|ing)?\b.*\bwith (?:the|their) head\b|\bhead (?:motion|movement)s?\b"),
        ("head", r"\b(?:what|anything|something)\b.*\bon (?:the|their) head\b|\bwhat covers\b.*\bhead\b"),
        ("mouth", r"\bmouth (?:is )?open or\b|\b(?:what|describe|how)\b.*\bmouth\b"),
        ("gaze", r"\bwhere\b.*\b(?:look(?:s|ing)?|gaz\w+|star(?:e|es|ing))\b|\b(?:camera|us|me) or\b"),
        ("gaze", r"\bdirection\b.*\b(?:gaze|look)|\bwhich (?:way|direction)\b.*\blook|\b(?:what|describe) .*\bgaze\b"),
        ("picture", r"\b(?:picture|image|video|clip|it)\b.*\b(?:sharp|blurry|clear|quality)\b"),
        ("picture", r"\bwhat is the picture like\b|\bquality\b|\bhow (?:sharp|blurry|clear)\b"),
        ("worn", r"\bwhat (?:all )?(?:is|are|does|do) they (?:wear|wears|wearing|have on|has on|dressed)\b"),
        ("worn", r"(?:\b(?:describe|tell me|name|list|see) |^)what they (?:is|are)? ?(?:wear|wearing|wears)\b"),
        ("worn", r"\baccessor(?:y|ies)\b|\bglasses, a hat or\b|\bsee (?:they|their) wearing\b|\bjewellery\b"),
        (
            "expression",
            r"\b(?:expressions?|emotions?|emotional|moods?)\b|\b(?:seem to feel|feel|feels|feeling|feelings)\b",
        ),
        (
            "expression",
            r"\bwhat\b.*\bface (?:express|tell|say|show|reveal)(?:s|es)?\b|\bhow (?:does|do|is) their face\b|"
            r"^how (?:does|do|is|are) they(?: look(?:ing)?)?$|\bhow they look\b",
        ),
        (
            "doing",
            r"\bwhat (?:all )?(?:is|are|does|do) they (?:do|does|doing|up to)\b|\bwhat they (?:is |are )?(?:do|doing|"
            r"does)\b",
        ),
        (
            "doing",
            r"\bwhat\b.*\b(?:going on|goes on|happen(?:s|ing)?)\b|\bsee (?:they|their) doing\b|\b(?:which|"
            r"what) actions?\b",
        ),
        (
            "description",
            r"\b(?:describe|tell (?:me )?(?:all |everything |something )?about|describing) (?:they|face)\b",
        ),
        (
            "description",
            r"\b(?:describe|tell (?:me )?(?:everything |all |something )?about) (?:the|this|their) (?:video|clip|"
            r"face|picture|appearance|looks)\b",
        ),
        (
            "description",
            r"\bdescribe what (?:you see|is (?:in|shown|seen))|\b(?:description|summary)\b|^tell me (?:some )?more$|"
            r"\bwhat (?:am|are) (?:i|we) looking at\b|\bsummari[sz]e\b|\bcaption\b",
        ),
        ("description", r"\bwhat (?:do|can|could|did) (?:you|we|i|one) see\b|^who (?:do|can) you see\b"),
        ("description", r"\bwhat (?:does|do) (?:the|this) (?:video|clip|picture) show\b"),
        (
            "description",
            r"\bwhat is (?:(?:shown|seen|to see|visible) )?(?:in|on) (?:the|this) (?:video|clip|picture)\b",
        ),
        ("description", r"\b(?:what|how) (?:does|do) they looks? like\b|\bwhat they looks? like\b"),
    )
)
"""Topics of ``favchat.labels.everyday_templates.OPEN``, and the words that ask for them; the first that fits counts."""
_OTHER_MATTERS = re.compile(
    r"\b(?:background|room|behind|outside|next|shirt|jacket|shoes|ring|clothes|eyes?|eyebrows|nose|skin|job|living|"
    r"their name|weigh|tall|think|from|voice|say|changes?|whether|if|why|when|first|last|start|beginning|end|before|"
    r"after|earlier|later|constant|develops?|happens to|over the (?:video|clip)|stays?|same|throughout|all the time|"
    r"single|becomes?|of these|what time)\b"
)
"""Words of questions about something else, or about a part or the course of the clip: scores are of the whole."""
_CHOICE = re.compile(r":|\bor\b")
_ALL_NAMED = re.compile(r"\bglasses, a hat or jewell|\bhair black, brown, blonde or gr[ae]y\b")
_SHAVEN_OR = re.compile(r"\b(?:beard(?:ed)?|facial hair) or (?:clean-?|shaven|no|not)|\bshaven or\b")
_HAS_CHOICES = {"sex", "age", "facial hair", "mouth", "gaze", "picture"}
"""Topics whose answers are the few that a choice can name; another choice may not hold what the scores say."""


EXCLUSIVE = (
    ("no_beard", "full_beard", "goatee"),
    ("young", "senior"),
    ("black_hair", "blonde_hair", "gray_hair", "brown_hair"),
    ("straight_hair", "wavy_hair"),
    ("smile", "frown"),
)
"""Attributes of which one person rarely has two at once."""


def topic_of(question: str) -> str | None:
    """The topic of an open question, or None where it is none of those, or not understood."""
    text = core(plain_words(question))
    if _OTHER_MATTERS.search(text) or is_about_course(text) or unknown_matter(in_vocabulary(text)) is not None:
        return None
    topic = next((topic for topic, words in _TOPICS if words.search(text)), None)
    if topic == "facial hair" and _CHOICE.search(text) and not _SHAVEN_OR.search(text):
        return None
    if _CHOICE.search(text) and topic not in _HAS_CHOICES and not _ALL_NAMED.search(text):
        return None
    return topic


def open_answer(question: str, scores: Mapping[str, float], likely: Mapping[str, float]) -> str | None:
    """The answer to an open question, as far as the scores tell it.

    Args:
        question: What was asked.
        scores: Taught attribute -> probability, were it present in half of all clips.
        likely: Taught attribute -> probability with its frequency in training.
    """
    topic = topic_of(question)
    if topic is None:
        return None
    found = open_answers(known_from(scores, likely)).get(topic)
    return found[0] if found else None


def known_from(scores: Mapping[str, float], likely: Mapping[str, float]) -> Known:
    """What may be said: present where both probabilities say so, absent likewise; of the emotions the likeliest.

    A yes/no question is answered by the score alone. An attribute that few people have is not claimed unasked where its
    score lies just above a half.
    """
    emotions = [one.name for one in EMOTION if one.name in scores]
    known = {
        name: scores[name] > 0.5
        for name in scores
        if name not in emotions and (scores[name] > 0.5) == (likely[name] > 0.5)
    }
    for group in EXCLUSIVE:
        there = [name for name in group if known.get(name)]
        for name in sorted(there, key=lambda name: scores[name])[:-1]:
            del known[name]  # only the surest of them is said
    if emotions:
        shown = max(emotions, key=lambda name: scores[name])
        known |= {name: name == shown for name in emotions}
    return known
