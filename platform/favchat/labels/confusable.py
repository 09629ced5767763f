"""Attributes that co-occur or are easily confused: hard negatives for questions.

The groups are ours; each joins attributes that describe one part of the face or one kind of movement.
"""

from __future__ import annotations

from favchat.labels.attributes import attribute

GROUPS = (
    ("smile", "laugh", "sneer", "make_a_face"),
    ("talk", "sing", "shout", "whisper", "read"),
    ("cry", "weep", "sniff", "sigh"),
    ("nod", "shake_head", "head_wagging", "turn", "look_around"),
    ("frown", "glare", "sneer"),
    ("gaze", "look_around", "glare", "read", "turn"),
    ("eat", "chew", "drink"),
    ("cough", "sneeze", "sniff", "yawn", "sigh", "blow"),
    ("close_eyes", "sleep", "wink", "yawn"),
    ("kiss", "blow", "smoke"),
    ("sing", "listen_to_music", "play_instrument"),
    ("black_hair", "blonde_hair", "gray_hair", "brown_hair"),
    ("straight_hair", "wavy_hair", "long_hair"),
    ("bald", "receding_hairline", "gray_hair"),
    ("bangs", "long_hair", "straight_hair"),
    ("arched_eyebrows", "bushy_eyebrows"),
    ("bags_under_eyes", "narrow_eyes"),
    ("big_nose", "pointy_nose"),
    ("chubby", "double_chin", "oval_face", "high_cheekbones"),
    ("pale_skin", "rosy_cheeks", "heavy_makeup"),
    ("big_lips", "wearing_lipstick"),
    ("heavy_makeup", "wearing_lipstick", "wearing_earrings", "wearing_necklace"),
    ("no_beard", "5_o_clock_shadow", "goatee", "mustache", "sideburns"),
    ("eyeglasses", "sunglasses"),
    ("wearing_hat", "wearing_mask", "sunglasses"),
    ("wearing_necklace", "wearing_necktie", "wearing_earrings"),
    ("anger", "disgust", "contempt"),
    ("fear", "surprise"),
    ("sadness", "neutral", "contempt"),
    ("happy", "surprise"),
    ("neutral", "contempt"),
)


def _table() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for group in GROUPS:
        for name in group:
            table.setdefault(attribute(name).name, set()).update(set(group) - {name})
    return {name: frozenset(others) for name, others in table.items()}


CONFUSABLE = _table()
"""Attribute -> those that go with it; an attribute without any is not in the table."""


def are_confusable(one: str, other: str) -> bool:
    """Whether two attributes are easily confused."""
    return other in CONFUSABLE.get(one, ())
