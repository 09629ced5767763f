"""Templates of colloquial yes/no questions about each attribute.

Placeholders, and which forms are held out from training: :mod:`favchat.labels.everyday_templates`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """Templates of yes/no questions about one attribute."""

    is_: tuple[str, ...] = ()
    """What follows "is she": "wearing glasses"."""
    has: tuple[str, ...] = ()
    """What follows "does she have": "glasses on"."""
    sees: tuple[str, ...] = ()
    """What follows "do you see": "glasses"."""
    own: tuple[str, ...] = ()
    """Whole questions."""


IS_FRAMES = (
    "{Is} {s} {x}?",
    "Would you say {s} {is_} {x}?",
    "Do you think {s} {is_} {x}?",
    "{X}?",
    "{Is} {s} {x} in this video?",
    "Can you tell me if {s} {is_} {x}?",
    "Is it true that {s} {is_} {x}?",
    "Does it look like {s} {is_} {x}?",
    "I think {s} {is_} {x}. Is that right?",
    "{Is} {s} {x} here?",
    "Yes or no: {is_} {s} {x}?",
    "{S} {is_} {x}, right?",
)
HAS_FRAMES = (
    "{Does} {s} have {x}?",
    "{Has} {s} got {x}?",
    "Would you say {s} {has} {x}?",
    "{X}?",
    "Do you think {s} {has} {x}?",
    "Is it true that {s} {has} {x}?",
    "{Does} {s} have {x} in this clip?",
    "Can you tell me if {s} {has} {x}?",
    "I think {s} {has} {x}. Is that right?",
    "Yes or no: {does} {s} have {x}?",
    "{S} {has} {x}, yes?",
    "{S} {has} {x}, right?",
)
SEES_FRAMES = (
    "Do you see {x}?",
    "Can you see {x} on {o}?",
    "Any {x}?",
    "Is there {x} to be seen?",
    "Does the video show {x}?",
    "Can one see {x} here?",
)

YES_NO: dict[str, Wording] = {
    "male": Wording(
        is_=("male", "a man", "a guy"),
        sees=("a man",),
        own=(
            "Is this a man?",
            "Is it a man?",
            "Is it a he?",
            "A man?",
            "Is that person male?",
            "Am I looking at a man?",
        ),
    ),
    "female": Wording(
        is_=("female", "a woman", "a lady"),
        sees=("a woman",),
        own=(
            "Is this a woman?",
            "Is it a woman?",
            "Is it a she?",
            "A woman?",
            "Is that person female?",
            "Am I looking at a woman?",
        ),
    ),
    "young": Wording(is_=("young", "a young person", "still young"), own=("{Does} {s} look young?", "Young or not?")),
    "senior": Wording(
        is_=("over sixty", "a senior", "elderly", "older than sixty", "old"),
        own=("{Does} {s} look over 60?", "{Is} {s} an old person?", "{Is} {s} more than 60 years old?"),
    ),
    "bald": Wording(is_=("bald",), own=("{Has} {s} lost {p} hair?", "Is {p} head bald?", "{Is} {s} without hair?")),
    "receding_hairline": Wording(
        has=("a receding hairline", "a high hairline", "receding hair"),
        own=("Is {p} hairline receding?", "{Is} {s} losing hair at the front?", "Does {p} hair recede at the front?"),
    ),
    "bangs": Wording(
        has=("bangs", "a fringe", "hair over the forehead"),
        sees=("bangs", "a fringe"),
        own=("Does {p} hair cover the forehead?", "Is there a fringe?"),
    ),
    "black_hair": Wording(has=("black hair", "dark black hair"), own=("Is {p} hair black?", "Is the hair black?")),
    "blonde_hair": Wording(
        is_=("blonde", "a blonde"), has=("blonde hair", "fair hair"), own=("Is {p} hair blonde?", "Is the hair blond?")
    ),
    "gray_hair": Wording(
        has=("gray hair", "grey hair", "white hair"),
        own=("Is {p} hair gray?", "Is the hair grey?", "{Has} {s} gone gray?"),
    ),
    "brown_hair": Wording(has=("brown hair",), own=("Is {p} hair brown?", "Is the hair brown?", "A brunette?")),
    "straight_hair": Wording(has=("straight hair",), own=("Is {p} hair straight?", "Is the hair straight?")),
    "wavy_hair": Wording(
        has=("wavy hair", "curly or wavy hair", "waves in {p} hair"),
        own=("Is {p} hair wavy?", "Is the hair wavy?", "Is {p} hair curly?"),
    ),
    "long_hair": Wording(
        has=("long hair", "hair down to the shoulders"), own=("Is {p} hair long?", "Is the hair long?", "Long haired?")
    ),
    "chubby": Wording(
        is_=("chubby", "a bit chubby"), has=("a chubby face", "a round, full face"), own=("Is {p} face chubby?",)
    ),
    "double_chin": Wording(has=("a double chin",), sees=("a double chin",)),
    "eyeglasses": Wording(
        is_=("wearing glasses", "wearing eyeglasses", "wearing spectacles"),
        has=("glasses", "glasses on", "a pair of glasses"),
        sees=("glasses", "eyeglasses"),
        own=("{Does} {s} wear glasses?", "Glasses, yes or no?", "With glasses?"),
    ),
    "sunglasses": Wording(
        is_=("wearing sunglasses", "wearing dark glasses"),
        has=("sunglasses on",),
        sees=("sunglasses",),
        own=("{Does} {s} wear sunglasses?",),
    ),
    "wearing_hat": Wording(
        is_=("wearing a hat", "wearing a cap or a hat", "wearing something on {p} head"),
        has=("a hat on", "a hat", "something on {p} head"),
        sees=("a hat", "a hat or cap"),
        own=("{Does} {s} wear a hat?", "Is there a hat on {p} head?", "Is {p} head covered?"),
    ),
    "wearing_necktie": Wording(
        is_=("wearing a tie", "wearing a necktie"),
        has=("a tie on", "a tie"),
        sees=("a tie", "a necktie"),
        own=("{Does} {s} wear a tie?", "A tie, yes or no?", "Is there a tie?"),
    ),
    "wearing_earrings": Wording(
        is_=("wearing earrings",),
        has=("earrings", "earrings on"),
        sees=("earrings",),
        own=("{Does} {s} wear earrings?", "Are there earrings?", "Are earrings in {p} ears?"),
    ),
    "wearing_necklace": Wording(
        is_=("wearing a necklace",),
        has=("a necklace", "a necklace on"),
        sees=("a necklace",),
        own=("{Does} {s} wear a necklace?", "Is there a necklace?", "Is a necklace around {p} neck?"),
    ),
    "wearing_lipstick": Wording(
        is_=("wearing lipstick",),
        has=("lipstick on", "painted lips"),
        sees=("lipstick",),
        own=("{Does} {s} wear lipstick?", "Are {p} lips painted?", "Is there lipstick?"),
    ),
    "heavy_makeup": Wording(
        is_=("wearing heavy makeup", "wearing a lot of make-up", "heavily made up"),
        has=("heavy makeup on", "a lot of makeup on"),
        own=("{Does} {s} wear heavy makeup?", "Much make-up?"),
    ),
    "beard": Wording(
        is_=("bearded",),
        has=("a beard", "any beard"),
        sees=("a beard",),
        own=("{Does} {s} wear a beard?", "Is there a beard?", "Bearded or not?"),
    ),
    "shaven": Wording(is_=("clean-shaven", "shaven", "clean shaven"), own=("Is {p} face shaven?",)),
    "mustache": Wording(
        has=("a mustache", "a moustache"),
        sees=("a mustache", "a moustache"),
        own=("{Does} {s} wear a mustache?", "Is there a moustache?", "Is there hair on {p} upper lip?"),
    ),
    "goatee": Wording(
        has=("a goatee", "a beard around the mouth"),
        sees=("a goatee",),
        own=("Is {p} beard a goatee?", "Is it a goatee?"),
    ),
    "full_beard": Wording(
        has=("a full beard", "a thick beard"), sees=("a full beard",), own=("Is {p} beard a full one?",)
    ),
    "5_o_clock_shadow": Wording(
        is_=("unshaven",), has=("a five o'clock shadow", "stubble"), sees=("stubble", "a five o'clock shadow")
    ),
    "smile": Wording(
        is_=("smiling", "smiling at all", "showing a smile"),
        has=("a smile", "a smile on {p} face"),
        sees=("a smile",),
        own=("Is there a smile on {p} face?", "{Does} {s} smile?", "Is that a smile?"),
    ),
    "talk": Wording(
        is_=("talking", "speaking", "saying something"),
        own=("{Does} {s} talk?", "{Does} {s} speak?", "{Does} {s} say anything?"),
    ),
    "laugh": Wording(is_=("laughing",), own=("{Does} {s} laugh?", "Is that a laugh?", "{Is} {s} laughing out loud?")),
    "frown": Wording(
        is_=("frowning", "knitting {p} brows"),
        has=("a frown", "a frown on {p} face"),
        sees=("a frown",),
        own=("{Does} {s} frown?", "Is that a frown?"),
    ),
    "mouth_open": Wording(
        has=("{p} mouth open", "an open mouth"),
        sees=("teeth", "an open mouth"),
        own=("Is {p} mouth open?", "Is the mouth open?", "Are {p} lips apart?", "Mouth open?"),
    ),
    "mouth_closed": Wording(
        has=("{p} mouth closed", "a closed mouth"),
        own=("Is {p} mouth closed?", "Is the mouth shut?", "Are {p} lips closed?", "Mouth closed?"),
    ),
    "close_eyes": Wording(
        has=("{p} eyes closed", "closed eyes"),
        own=("Are {p} eyes closed?", "Are the eyes shut?", "Eyes closed?", "{Is} {s} closing {p} eyes?"),
    ),
    "blink": Wording(
        is_=("blinking", "blinking {p} eyes"),
        own=("{Does} {s} blink?", "Is there a blink?", "Do {p} eyes blink?"),
    ),
    "look_away": Wording(
        is_=("looking away", "looking away from the camera", "looking to the side"),
        own=("{Does} {s} look away?", "Is {p} gaze turned away?", "{Is} {s} looking somewhere else?"),
    ),
    "look_here": Wording(
        is_=("looking at the camera", "looking at us", "looking into the camera"),
        own=("{Does} {s} look at the camera?", "Is {p} gaze on the camera?"),
    ),
    "nod": Wording(
        is_=("nodding", "nodding {p} head", "moving {p} head up and down"),
        own=("{Does} {s} nod?", "Is that a nod?", "Does {p} head go up and down?"),
    ),
    "shake_head": Wording(
        is_=("shaking {p} head", "moving {p} head from side to side"),
        own=("{Does} {s} shake {p} head?", "Does {p} head go left and right?", "Is the head being shaken?"),
    ),
    "head_wagging": Wording(
        is_=("wagging {p} head", "tilting {p} head from side to side", "rocking {p} head"),
        own=("{Does} {s} wag {p} head?", "Does {p} head tilt back and forth?", "Is the head tilting?"),
    ),
    "blurry": Wording(
        own=(
            "Is the video blurry?",
            "Is the picture blurry?",
            "Is the image out of focus?",
            "Is this clip blurred?",
            "Blurry?",
            "Is the picture unsharp?",
        )
    ),
    "sharp": Wording(own=("Is the video sharp?", "Is the picture sharp?", "Is the image in focus?", "Is it sharp?")),
    "grayscale": Wording(
        own=("Is the video black and white?", "Is the picture in black and white?", "Is this a grey picture?")
    ),
    "colour": Wording(own=("Is the video in colour?", "Is the picture in colour?", "Is this a colour picture?")),
    "neutral": Wording(
        is_=("neutral", "expressionless"), own=("{Does} {s} look neutral?", "Is {p} expression neutral?")
    ),
    "anger": Wording(
        is_=("angry", "furious", "mad"), own=("{Does} {s} look angry?", "Is {p} expression angry?", "Angry?")
    ),
    "happy": Wording(
        is_=("happy", "in a good mood", "cheerful"),
        own=("{Does} {s} look happy?", "Is {p} expression happy?", "{Does} {s} seem happy?"),
    ),
    "sadness": Wording(
        is_=("sad", "unhappy"), own=("{Does} {s} look sad?", "Is {p} expression sad?", "{Does} {s} seem sad?")
    ),
    "surprise": Wording(
        is_=("surprised", "astonished"), own=("{Does} {s} look surprised?", "Is {p} expression one of surprise?")
    ),
    "disgust": Wording(is_=("disgusted",), own=("{Does} {s} look disgusted?", "Is {p} expression one of disgust?")),
    "fear": Wording(is_=("afraid", "scared"), own=("{Does} {s} look afraid?", "Is {p} expression one of fear?")),
    "contempt": Wording(
        is_=("contemptuous",), own=("{Does} {s} look contemptuous?", "Is {p} expression one of contempt?")
    ),
}
"""Of each attribute, and of opposites that people ask for by a word of their own (see ``OPPOSITES``)."""

OPPOSITES = {
    "female": "male",
    "beard": "no_beard",
    "shaven": "no_beard",
    "mouth_closed": "mouth_open",
    "look_here": "look_away",
    "sharp": "blurry",
    "colour": "grayscale",
}
"""Key of ``YES_NO`` -> the attribute whose label answers it. "beard" and "shaven" both ask for ``no_beard``."""
