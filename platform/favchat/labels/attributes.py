"""The 83 attributes of CelebV-HQ in the dataset's order, 40 of appearance, 35 of action, 8 of emotion; and seven more.

Names and order follow ``meta_info`` of CelebV-HQ's annotation file (Zhu et al., ECCV 2022); families and wording are
ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

Kind = Literal["appearance", "action", "emotion", "extra"]
Verb = Literal["is", "has", "looks"]

FAMILIES = (
    "age and sex",
    "face shape",
    "skin",
    "hair",
    "brows",
    "eyes",
    "nose",
    "mouth",
    "facial hair",
    "accessories",
    "action",
    "emotion",
    "image",
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute and its English phrases.

    The *statement* of an attribute is "<subject> <verb> <phrase>", such as "the woman has bangs".
    """

    name: str
    """The dataset's name, lower case."""
    kind: Kind
    """Which vector of the dataset it belongs to; ``extra``: to none."""
    family: str
    """The part of the face or the topic it is about, one of ``FAMILIES``."""
    verb: Verb
    """Verb of the statement in the third person singular."""
    phrase: str
    """Rest of the statement; ``{their}`` stands for the possessive of the subject."""
    opposite: str | None = None
    """What the denied statement may say instead of "not <phrase>", with the same verb ("female" for "male")."""
    negated: bool = False
    """Whether label 1 denies the statement: ``no_beard`` = 1 says that the statement "has a beard" is false."""
    subject: Literal["person", "video"] = "person"
    """What the statement is about."""

    def holds(self, label: int) -> bool:
        """Whether the statement is true under a known label, 0 or 1."""
        return bool(label) != self.negated


def _appearance(name: str, family: str, verb: Verb, phrase: str, opposite: str | None = None) -> Attribute:
    return Attribute(name, "appearance", family, verb, phrase, opposite)


def _action(name: str, phrase: str) -> Attribute:
    return Attribute(name, "action", "action", "is", phrase)


def _emotion(name: str, phrase: str) -> Attribute:
    return Attribute(name, "emotion", "emotion", "looks", phrase)


APPEARANCE = (
    Attribute("blurry", "appearance", "image", "is", "blurry", subject="video"),
    _appearance("male", "age and sex", "is", "male", "female"),
    _appearance("young", "age and sex", "is", "young"),
    _appearance("chubby", "face shape", "has", "a chubby face"),
    _appearance("pale_skin", "skin", "has", "pale skin"),
    _appearance("rosy_cheeks", "skin", "has", "rosy cheeks"),
    _appearance("oval_face", "face shape", "has", "an oval face"),
    _appearance("receding_hairline", "hair", "has", "a receding hairline"),
    _appearance("bald", "hair", "is", "bald"),
    _appearance("bangs", "hair", "has", "bangs", "no bangs"),
    _appearance("black_hair", "hair", "has", "black hair"),
    _appearance("blonde_hair", "hair", "has", "blonde hair"),
    _appearance("gray_hair", "hair", "has", "gray hair"),
    _appearance("brown_hair", "hair", "has", "brown hair"),
    _appearance("straight_hair", "hair", "has", "straight hair"),
    _appearance("wavy_hair", "hair", "has", "wavy hair"),
    _appearance("long_hair", "hair", "has", "long hair"),
    _appearance("arched_eyebrows", "brows", "has", "arched eyebrows"),
    _appearance("bushy_eyebrows", "brows", "has", "bushy eyebrows"),
    _appearance("bags_under_eyes", "eyes", "has", "bags under {their} eyes", "no bags under {their} eyes"),
    _appearance("eyeglasses", "accessories", "is", "wearing eyeglasses"),
    _appearance("sunglasses", "accessories", "is", "wearing sunglasses"),
    _appearance("narrow_eyes", "eyes", "has", "narrow eyes"),
    _appearance("big_nose", "nose", "has", "a big nose"),
    _appearance("pointy_nose", "nose", "has", "a pointy nose"),
    _appearance("high_cheekbones", "face shape", "has", "high cheekbones"),
    _appearance("big_lips", "mouth", "has", "big lips"),
    _appearance("double_chin", "face shape", "has", "a double chin", "no double chin"),
    Attribute("no_beard", "appearance", "facial hair", "has", "a beard", "no beard", negated=True),
    _appearance("5_o_clock_shadow", "facial hair", "has", "a five o'clock shadow", "no five o'clock shadow"),
    _appearance("goatee", "facial hair", "has", "a goatee", "no goatee"),
    _appearance("mustache", "facial hair", "has", "a mustache", "no mustache"),
    _appearance("sideburns", "facial hair", "has", "sideburns", "no sideburns"),
    _appearance("heavy_makeup", "skin", "is", "wearing heavy makeup"),
    _appearance("wearing_earrings", "accessories", "is", "wearing earrings"),
    _appearance("wearing_hat", "accessories", "is", "wearing a hat"),
    _appearance("wearing_lipstick", "mouth", "is", "wearing lipstick"),
    _appearance("wearing_necklace", "accessories", "is", "wearing a necklace"),
    _appearance("wearing_necktie", "accessories", "is", "wearing a necktie"),
    _appearance("wearing_mask", "accessories", "is", "wearing a mask"),
)
"""Index 0 to 39 of the ``appearance`` vector."""

ACTION = (
    _action("blow", "blowing"),
    _action("chew", "chewing"),
    _action("close_eyes", "closing {their} eyes"),
    _action("cough", "coughing"),
    _action("cry", "crying"),
    _action("drink", "drinking"),
    _action("eat", "eating"),
    _action("frown", "frowning"),
    _action("gaze", "gazing"),
    _action("glare", "glaring"),
    _action("head_wagging", "wagging {their} head"),
    _action("kiss", "kissing"),
    _action("laugh", "laughing"),
    _action("listen_to_music", "listening to music"),
    _action("look_around", "looking around"),
    _action("make_a_face", "making a face"),
    _action("nod", "nodding"),
    _action("play_instrument", "playing an instrument"),
    _action("read", "reading"),
    _action("shake_head", "shaking {their} head"),
    _action("shout", "shouting"),
    _action("sigh", "sighing"),
    _action("sing", "singing"),
    _action("sleep", "sleeping"),
    _action("smile", "smiling"),
    _action("smoke", "smoking"),
    _action("sneer", "sneering"),
    _action("sneeze", "sneezing"),
    _action("sniff", "sniffing"),
    _action("talk", "talking"),
    _action("turn", "turning {their} head"),
    _action("weep", "weeping"),
    _action("whisper", "whispering"),
    _action("wink", "winking"),
    _action("yawn", "yawning"),
)
"""Index 0 to 34 of the ``action`` vector."""

EMOTION = (
    _emotion("neutral", "neutral"),
    _emotion("anger", "angry"),
    _emotion("contempt", "contemptuous"),
    _emotion("disgust", "disgusted"),
    _emotion("happy", "happy"),
    _emotion("fear", "fearful"),
    _emotion("sadness", "sad"),
    _emotion("surprise", "surprised"),
)
"""The eight emotions, in the order of the dataset's table."""

EXTRA = (
    Attribute("senior", "extra", "age and sex", "is", "over sixty"),
    Attribute("child", "extra", "age and sex", "is", "a child"),
    Attribute("mouth_open", "extra", "mouth", "has", "{their} mouth open", "{their} mouth closed"),
    Attribute("look_away", "extra", "eyes", "is", "looking away from the camera", "looking at the camera"),
    Attribute("profile", "extra", "image", "is", "seen in profile"),
    Attribute("grayscale", "extra", "image", "is", "black and white", "in colour", subject="video"),
    Attribute("full_beard", "extra", "facial hair", "has", "a full beard", "no full beard"),
    Attribute("blink", "extra", "action", "is", "blinking"),
)
"""Attributes that CelebV-HQ does not know and other label sets have beside its own. New ones come last: corpora hold
their labels by place."""

UNKNOWN = -1
"""An unknown label, beside 0 and 1."""


@cache
def _by_name() -> dict[str, Attribute]:
    return {attribute.name: attribute for attribute in (*APPEARANCE, *ACTION, *EMOTION, *EXTRA)}


def attribute(name: str) -> Attribute:
    """Look an attribute up by its name, whatever the case.

    Raises:
        KeyError: No attribute of that name.
    """
    try:
        return _by_name()[name.lower()]
    except KeyError:
        raise KeyError(f"'{name}' is none of the {len(_by_name())} attributes") from None
