"""Everyday words for attributes, and those of the grammar (``favchat.labels.attribute_parser``) for the same."""

from __future__ import annotations

import re
from functools import lru_cache

_SAME = (
    (  # how much, or how surely
        r"\b(?:already|really|very|quite|rather|still|actually|completely|totally|a bit|a little(?: bit)?|slightly|"
        r"somewhat|"
        r"kind of|sort of|clearly|definitely) (?=\w)",
        "",
    ),
    (  # a question's order of words: "is their hair black"
        r"^(is|are|was|were) ((?:their|the|both) (?:\w+ )?(?:hair|hairline|nose|lips|(?:eye)?brows|eyes|mouth|face|"
        r"skin|complexion|"
        r"cheek ?bones|cheeks|expression|beard|makeup|smile|video|picture|clip)) (?=\w)",
        r"\2 \1 ",
    ),
    (r"\b(?:cap or (?:a )?hat|hat or (?:a )?cap|something on (?:the |their )?head)\b", "hat"),
    (r"\bhead (?:is )?covered\b", "hat"),
    (r"\bcurly or wavy\b|\bwavy or curly\b|\bcurly\b", "wavy"),
    (r"\b(?:older|more) than (?:sixty|60)(?: years old)?\b", "over sixty"),
    (
        r"\b(?:an? )?(?<!how )(?<!years )(?:senior|elderly|old|aged)(?: (?:person|man|woman|lady|guy|citizen))?\b",
        "over sixty",
    ),
    (r"\blost (?:their|his|her|the) hair\b|\bwithout hair\b", "bald"),
    (
        r"\bhairline (?:is )?(?:receding|recedes?)\b|\bhair recede\b|\blosing hair\b|\bhigh hairline\b",
        "receding hairline",
    ),
    (r"\bhair (?:covers?|over) (?:the |their )?forehead\b", "bangs"),
    (r"\bfair hair\b|\bblonde?\b(?! hair)|\bhair blonde?\b", "blonde hair"),
    (r"\bwhite hair\b|\bgone gr[ae]y\b", "gray hair"),
    (
        r"\bhair (?:(?:goes |falls |reaching |hanging )?(?:down )?to|reach(?:es)?|touch(?:es)?) (?:the |"
        r"their )?shoulders\b",
        "long hair",
    ),
    (r"\bshoulder[- ]length\b", "long"),
    (r"\bround,? (?:full )?face\b", "chubby face"),
    (r"\blips (?:are )?painted\b|\bpainted lips\b", "lipstick"),
    (r"\b(?:a lot of|much|lots of) make-?up\b", "heavy makeup"),
    (r"\bunshaven\b", "stubble"),
    (r"\b(?:face )?(?:clean(?:ly)?[- ])?shaved?n?\b", "clean-shaven"),
    (r"\bbeard (?:is )?a goatee\b|\bbeard around the mouth\b", "goatee"),
    (r"\bbeard (?:is )?a full one\b|\bthick beard\b", "full beard"),
    (r"\bhair on (?:the |their )?upper lip\b", "mustache"),
    (r"\bknitting (?:the |their )?brows\b", "frowning"),
    (
        r"\beyes (?:are |stay )?(?:wide |kept )?open(?:ed)?\b|\bopen(?:s|ed|ing)? (?:the |their )?eyes\b",
        "not closed eyes",
    ),
    (r"\b(?:teeth|lips (?:are )?apart)\b", "open mouth"),
    (r"\blips (?:are )?closed\b", "closed mouth"),
    (r"\bgaze (?:is )?turned away\b|\blooking (?:to the side|somewhere else)\b", "looking away"),
    (
        r"\b(?:look|star|gaz)(?:s|es|e|ing)? (?:straight |directly |right )*(?:at|in|into|to|towards?) "
        r"(?:the |this )?(?:camera|lens|me|us|viewers?)\b",
        "looking at the camera",
    ),
    (r"\bfac(?:es|ing) (?:towards? )?(?:the camera|me|us)\b", "looking at the camera"),
    (r"\bmak(?:e|es|ing) eye[- ]contact(?: with (?:the camera|me|us))?\b", "looking at the camera"),
    (r"\b(?:makeup (?:is )?(?:very )?heavy)\b", "heavy makeup"),
    (r"\b(?:the|their) head shakes?\b", "shaking their head"),
    (r"\bgray in (?:the |their )?hair\b", "gray hair"),
    (r"\bbalding\b|\bgoing bald\b|\bthinning hair\b", "receding hairline"),
    (r"\b(?:beret|helmet|bonnet)\b", "hat"),
    (r"\bbespectacled\b", "with glasses"),
    (r"\bscruff\b", "stubble"),
    (r"\b(?:giggl|chuckl)(?:es?|ing)\b", "laughing"),
    (r"\bscowl(?:s|ing)?\b", "frowning"),
    (r"\bchat(?:s|ting)\b", "talking"),
    (r"\b(?:glad|pleased|joyous|merry|elated)\b", "happy"),
    (r"\b(?:gloomy|miserable|sorrowful|unhappy)\b", "sad"),
    (r"\b(?:annoyed|irritated|enraged|pissed(?: off)?)\b", "angry"),
    (r"\b(?:shocked|amazed|startled|stunned)\b", "surprised"),
    (r"\b(?:terrified|frightened|fearful)\b", "scared"),
    (r"\b(?:revolted|repulsed|grossed out)\b", "disgusted"),
    (r"\b(?:emotionless|deadpan|poker[- ]faced)\b", "expressionless"),
    (r"\b(?:silent|quiet|mute)\b", "not talking"),
    (r"\b(?:no|not any|n't (?:have )?any) hair(?: left)?(?: on (?:the |their )?head)?$", "bald"),
    (r"\bgaze (?:is )?on the camera\b", "looking at the camera"),
    (r"\bwaves in (?:the |their )?hair\b", "wavy hair"),
    (r"\bhead (?:is )?(?:being )?shaken\b", "shaking their head"),
    (r"\bhead (?:goes|go) (?:left and right|from side to side)\b", "shaking their head"),
    (r"\bmov(?:e|es|ing) (?:the |their )?head (?:from side to side|left and right)\b", "shaking their head"),
    (r"\bhead (?:goes|go) up and down\b|\bmov(?:e|es|ing) (?:the |their )?head up and down\b", "nodding"),
    (r"\b(?:tilt|rock)(?:s|ing)? (?:the |their )?head\b|\bhead tilt(?:s|ing)?\b", "wagging their head"),
    (r"\bread(?= (?:from|in|off|on) (?:the |their )?face\b)", "see"),
    (r"(?!^say\b)\bsay(?:s|ing)? (?:something|anything)\b(?! about)", "talking"),
    (r"\bunsharp\b", "blurry"),
    (r"\b(?:sharp|in focus)\b", "not blurry"),
    (r"\bgr[ae]y picture\b", "black and white picture"),
    (r"\bcolou?r(?:ed)? (?:picture|video|clip|image)\b", "picture in colour"),
    (r"\b(?:in a good mood|cheerful)\b", "happy"),
    (r"\bmad\b", "angry"),
    (r"\ba he\b", "a man"),
    (r"\ba she\b", "a woman"),
)
_RULES = tuple((re.compile(words), plain) for words, plain in _SAME)


@lru_cache(maxsize=4096)
def in_vocabulary(text: str) -> str:
    """Plain words (``favchat.labels.question_text.plain_words``) in which everyday words stand as the grammar's own."""
    for words, plain in _RULES:
        text = words.sub(plain, text)
    return text
