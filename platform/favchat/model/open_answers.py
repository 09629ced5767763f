"""Answers to open questions about the face, worded from the scores, so that they never contradict them.

The sentences are those that the language model was taught (``favchat.data.annotate.everyday_writer``), filled with what
is likely. A question whose topic is not understood, or of whose topic nothing is likely, is left to the language model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from favchat.data.annotate.everyday_writer import Known, open_answers
from favchat.labels.attributes import EMOTION

_TOPICS = tuple(
    (topic, re.compile(words))
    for topic, words in (
        ("hair colour", r"\bcolou?r\b.*\bhair\b|\bhair\b.*\bcolou?r\b|\bhair (?:black|brown|blonde?|gr[ae]y),? "),
        ("facial hair", r"\bfacial hair\b|\bbeard(?:ed)? or (?:clean-?)?shaven\b"),
        ("facial hair", r"\b(?:what|which|describe)\b.*\bbeard\b"),
        ("hair", r"\b(?:what|how|describe|tell me about|which)\b.*\b(?:hair|hairstyle)\b"),
        ("makeup", r"\b(?:what|any|describe|wear|wearing)\b.*\bmake-?up\b"),
        ("age", r"\bhow old\b|\bwhat age\b|\bage group\b|\brough age\b|\byoung(?:,| or\b).*\b(?:old|sixty)\b|^age\?"),
        ("sex", r"\b(?:man or (?:a )?woman|woman or (?:a )?man|male or female|female or male)\b|\b(?:sex|gender)\b"),
        ("head motion", r"\bhead (?:do|doing|move|moves|moving)\b|\bmov(?:e|es|ing) their head\b"),
        ("head", r"\b(?:what|anything|something)\b.*\bon (?:the|their) head\b|\bwhat covers\b.*\bhead\b"),
        ("mouth", r"\bmouth (?:is )?open or\b|\b(?:what|describe)\b.*\bmouth\b"),
        ("gaze", r"\bwhere\b.*\blook(?:s|ing)?\b|\bcamera or\b|\bdirection\b.*\b(?:gaze|look)|\bwhich way\b.*\blook"),
        ("picture", r"\b(?:picture|image|video)\b.*\b(?:sharp|blurry|clear|quality)\b|\bwhat is the picture like\b"),
        ("picture", r"\bquality of the|\bhow sharp\b"),
        (
            "worn",
            r"\bwhat (?:is|are|does|do) they (?:wear|wearing|have on)\b|\b(?:name )?what they (?:is|are) wearing\b",
        ),
        ("worn", r"\baccessories\b|\bglasses, a hat or\b|\bsee (?:they|their) wearing\b"),
        ("expression", r"\b(?:expression|emotion|mood)\b|\b(?:seem to feel|feeling)\b|\bface express(?:es)?\b"),
        ("expression", r"^how (?:does|do|is|are) they look(?:ing)?\?$"),
        (
            "doing",
            r"\bwhat (?:is|are) they (?:doing|up to)\b|\bwhat they (?:is|are) doing\b|^what (?:does|do) they do\?$",
        ),
        ("doing", r"\bwhat(?:'s| is)? (?:going on|happening|happens)\b|\bsee (?:they|their) doing\b"),
        ("description", r"\b(?:describe|tell me about) (?:they|(?:the|this|their) (?:video|clip|face))\b"),
        ("description", r"\bgive a (?:short )?description\b"),
        ("description", r"^what do you see\b|^who do you see\b|\bwhat does the (?:video|clip) show\b"),
        ("description", r"^what (?:does|do) they look like\?$"),
    )
)
"""Topics of ``favchat.labels.everyday_templates.OPEN``, and the words that ask for them; the first that fits counts."""
_PERSON = r"(?:the|this|that) (?:person|man|woman|guy|lady|girl|boy)(?: (?:in|of) (?:the|this) (?:video|clip|picture))?"
_PLAIN = (
    (re.compile(rf"\b(?:{_PERSON}'s|his|her(?= [a-z]))\b"), "their"),
    (re.compile(rf"\b(?:{_PERSON}|he|she|him|her)\b"), "they"),
)
_OTHER_MATTERS = re.compile(
    r"\b(?:background|room|behind|outside|next|shirt|jacket|shoes|ring|clothes|eyes?|eyebrows|nose|skin|job|living|"
    r"their name|weigh|tall|think|from|voice|say|changes?|whether|if|why|when|first|last|start|beginning|end|before|"
    r"after|earlier|later|constant|develops?|happens to|over the (?:video|clip)|stays?|same|throughout|all the time|"
    r"single|becomes?|of these|what time)\b"
)
"""Words of questions about something else, or about a part or the course of the clip: scores are of the whole."""
_CHOICE = re.compile(r":|\bor\b")
_ALL_NAMED = re.compile(r"\bglasses, a hat or jewell|\bhair black, brown, blonde or gr[ae]y\b")
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


def plain_words(question: str) -> str:
    """A question in small letters, where whoever is asked about is "they"."""
    text = " ".join(question.strip().lower().replace("’", "'").split())
    for words, plain in _PLAIN:
        text = words.sub(plain, text)
    return text


def topic_of(question: str) -> str | None:
    """The topic of an open question, or None where it is none of those, or not understood."""
    text = plain_words(question)
    if _OTHER_MATTERS.search(text):
        return None
    topic = next((topic for topic, words in _TOPICS if words.search(text)), None)
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
