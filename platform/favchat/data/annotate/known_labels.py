"""The known labels of a clip, as true and false statements; unknown ones are left out."""

from __future__ import annotations

from dataclasses import dataclass

from favchat.data.annotate.grammar import Person
from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA, Attribute, attribute

_STATEMENTS = [(known, known.negated) for known in (*APPEARANCE, *ACTION, *EXTRA)]
_MALE = [a.name for a in APPEARANCE].index("male")


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """The known statements of a clip, in the dataset's order."""

    person: Person
    """Which noun and pronouns the sex allows."""
    true: list[Attribute]
    """True appearance and action statements."""
    false: list[Attribute]
    """False appearance and action statements."""
    emotion: Attribute | None
    """The emotion of the whole clip."""
    segments: list[EmotionSegment]
    """Emotions over time, neighbours of the same emotion joined; empty unless the emotion changes."""

    @property
    def empty(self) -> bool:
        """Whether no label is known."""
        return not (self.true or self.false or self.emotion or self.segments)

    @property
    def emotions(self) -> list[Attribute]:
        """The emotions that the clip is known to show, in order of their first appearance."""
        if self.segments:
            return [attribute(name) for name in dict.fromkeys(segment.emotion for segment in self.segments)]
        return [self.emotion] if self.emotion else []

    def of(self, *families: str) -> list[Attribute]:
        """The true statements of some families."""
        return [a for a in self.true if a.family in families]


def known_labels_of(clip: Clip) -> KnownLabels:
    """Sort a clip's labels into true and false statements."""
    true: list[Attribute] = []
    false: list[Attribute] = []
    for (known, negated), label in zip(_STATEMENTS, [*clip.appearance, *clip.action, *clip.extra], strict=True):
        if label is not None:
            (true if (label == 1) != negated else false).append(known)
    segments = _joined(clip.emotion_segments)
    emotion = clip.emotion if clip.emotion is not None or len(segments) != 1 else segments[0].emotion
    return KnownLabels(
        person=Person.of_sex(clip.appearance[_MALE]),
        true=true,
        false=false,
        emotion=attribute(emotion) if emotion is not None else None,
        segments=segments if len(segments) > 1 else [],
    )


def other_emotions(*shown: str) -> list[Attribute]:
    """All emotions except those that a clip shows."""
    return [emotion for emotion in EMOTION if emotion.name not in shown]


def _joined(segments: list[EmotionSegment]) -> list[EmotionSegment]:
    joined: list[EmotionSegment] = []
    for segment in segments:
        if joined and joined[-1].emotion == segment.emotion:
            joined[-1] = EmotionSegment(segment.emotion, joined[-1].start, max(joined[-1].end, segment.end))
        else:
            joined.append(segment)
    return joined
