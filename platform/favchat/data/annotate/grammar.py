"""English grammar: persons and their pronouns, agreement, articles, lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from favchat.data.corpus.clip import EmotionSegment
from favchat.labels.attributes import Attribute

_PLURAL = {
    "is": "are",
    "has": "have",
    "looks": "look",
    "seems": "seem",
    "wears": "wear",
    "does": "do",
}
_INFINITIVES = {"is": "be", "has": "have", "looks": "look"}


@dataclass(frozen=True, slots=True)
class Person:
    """Noun and pronouns for the person; "they" if the sex is unknown."""

    noun: str
    pronoun: str
    their: str

    @staticmethod
    def of_sex(male: int | None) -> Person:
        """The words for the label ``male``: 1, 0 or None."""
        return UNKNOWN if male is None else MAN if male else WOMAN

    @property
    def the(self) -> str:
        """The noun with its article: "the woman"."""
        return f"the {self.noun}"

    def phrase(self, attribute: Attribute) -> str:
        """The attribute's phrase with the possessive filled in: "closing her eyes"."""
        return attribute.phrase.replace("{their}", self.their)

    def denial(self, attribute: Attribute) -> str:
        """Predicate that denies the statement, third person singular: "has no bangs", "is not smiling"."""
        if attribute.opposite is not None:
            return f"{attribute.verb} {attribute.opposite.format(their=self.their)}"
        if attribute.verb == "is":
            return f"is not {self.phrase(attribute)}"
        return f"does not {infinitive(attribute.verb)} {self.phrase(attribute)}"

    def predicate(self, attribute: Attribute, truth: bool = True) -> str:
        """The statement's predicate or its denial, third person singular."""
        return f"{attribute.verb} {self.phrase(attribute)}" if truth else self.denial(attribute)

    def say(self, predicate: str) -> str:
        """Pronoun and predicate, agreeing: "she is smiling", "they are smiling", "they do not look sad"."""
        return f"{self.pronoun} {self.agree(predicate)}"

    def say_all(self, predicates: Sequence[str]) -> str:
        """Pronoun and several predicates, agreeing: "they are smiling and have bangs"."""
        return f"{self.pronoun} {joined([self.agree(predicate) for predicate in predicates])}"

    def agree(self, predicate: str) -> str:
        """Inflect a predicate in the third person singular to agree with the pronoun."""
        if self.pronoun != "they":
            return predicate
        verb, space, rest = predicate.partition(" ")
        return f"{_PLURAL.get(verb, verb)}{space}{rest}"


MAN = Person("man", "he", "his")
WOMAN = Person("woman", "she", "her")
UNKNOWN = Person("person", "they", "their")
VIDEO = Person("video", "it", "its")


def infinitive(verb: str) -> str:
    """``is`` -> be, ``has`` -> have, ``looks`` -> look."""
    return _INFINITIVES[verb]


def sentence(text: str, end: str = ".") -> str:
    """Capitalise the first letter and add a punctuation mark."""
    return text[0].upper() + text[1:] + end


def joined(words: Sequence[str], conjunction: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def article(noun_phrase: str) -> str:
    """The phrase with "a" or "an", chosen by its first letter (correct for all words used here)."""
    return f"{'an' if noun_phrase[0].lower() in 'aeiou' else 'a'} {noun_phrase}"


def seconds(time: float) -> str:
    """Format a time: ``1.2 seconds``, ``1 second``."""
    number = f"{time:.1f}".removesuffix(".0")
    return f"{number} second" if number == "1" else f"{number} seconds"


def over_time(segments: Sequence[EmotionSegment], phrases: Sequence[str]) -> str:
    """Describe segments in temporal order: "neutral at first, then happy from 1.2 seconds on".

    Args:
        segments: Two or more, ordered by start.
        phrases: Each one's adjective.
    """
    later = [
        f"then {phrase} from {seconds(segment.start)} on"
        for segment, phrase in zip(segments[1:], phrases[1:], strict=True)
    ]
    return f"{phrases[0]} at first, {', '.join(later[:-1] + ['and ' + later[-1]] if len(later) > 1 else later)}"
