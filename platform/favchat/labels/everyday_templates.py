"""Templates of colloquial questions about a face; a third is held out from training, to measure generalisation.

In every tuple the last of each three forms is held out (:func:`taught`, :func:`held_out`). Placeholders: ``{s}`` the
person as subject ("she", "the man"), ``{is_}``, ``{does}``, ``{has}`` verbs that agree with it, ``{p}`` the possessive
("her", "the man's"), ``{o}`` the object ("her", "the man"), ``{x}`` what is asked about. Those with a capital begin a
sentence.
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

OPEN: dict[str, tuple[str, ...]] = {
    "sex": (
        "Man or woman?",
        "Is this a man or a woman?",
        "Is it a man or a woman?",
        "Male or female?",
        "Is the person male or female?",
        "What is the person's sex?",
        "Do you see a man or a woman?",
        "What gender does the person appear to be?",
        "Who is it, a man or a woman?",
    ),
    "age": (
        "How old {does} {s} look?",
        "How old {is_} {s}?",
        "What age would you guess?",
        "About how old {is_} {s}?",
        "What is {p} age group?",
        "{Is} {s} young, middle-aged or over sixty?",
        "How old might {s} be?",
        "Give a rough age.",
        "Young or old?",
    ),
    "hair colour": (
        "What colour is {p} hair?",
        "What color is {p} hair?",
        "Hair colour?",
        "What is {p} hair colour?",
        "Which colour does {p} hair have?",
        "Name the colour of {p} hair.",
        "What hair color {does} {s} have?",
        "Is {p} hair black, brown, blonde or gray?",
        "Hair color?",
    ),
    "hair": (
        "Describe {p} hair.",
        "What is {p} hair like?",
        "What kind of hair {does} {s} have?",
        "What does {p} hair look like?",
        "What hairstyle {does} {s} have?",
        "Tell me about {p} hair.",
        "How {does} {s} wear {p} hair?",
        "How would you describe the hair?",
        "What about the hair?",
    ),
    "facial hair": (
        "What facial hair {does} {s} have?",
        "{Does} {s} have any facial hair?",
        "Any facial hair?",
        "Describe {p} facial hair.",
        "Beard or shaven?",
        "{Is} {s} bearded or clean-shaven?",
        "What about {p} beard?",
        "Which kind of beard {does} {s} wear?",
        "Is there facial hair?",
    ),
    "worn": (
        "What {is_} {s} wearing?",
        "What {does} {s} wear?",
        "Any accessories?",
        "Which accessories can you see?",
        "What accessories {does} {s} have?",
        "What {does} {s} have on?",
        "{Does} {s} wear glasses, a hat or jewellery?",
        "Name what {s} is wearing.",
        "What can you see {o} wearing?",
    ),
    "head": (
        "What is on {p} head?",
        "What is on the head?",
        "{Does} {s} wear anything on {p} head?",
        "Is there anything on {p} head?",
        "What {does} {s} have on {p} head?",
        "What covers {p} head?",
    ),
    "expression": (
        "What is {p} expression?",
        "How {does} {s} look?",
        "What expression {does} {s} have?",
        "How {does} {s} seem to feel?",
        "What emotion {does} {s} show?",
        "What is {p} mood?",
        "Describe {p} expression.",
        "What does {p} face express?",
        "What {is_} {s} feeling?",
        "Which emotion can you see?",
        "What mood {is_} {s} in?",
        "What facial expression is it?",
    ),
    "doing": (
        "What {is_} {s} doing?",
        "What {does} {s} do?",
        "What happens in this video?",
        "Describe what {s} {is_} doing.",
        "What can you see {o} doing?",
        "What is going on?",
        "What is happening here?",
        "Tell me what {s} {is_} doing.",
        "What {is_} {s} up to?",
    ),
    "head motion": (
        "How {does} {s} move {p} head?",
        "What does {p} head do?",
        "{Does} {s} move {p} head?",
        "Describe how the head moves.",
        "Is {p} head moving?",
        "What is the head doing?",
    ),
    "mouth": (
        "Is {p} mouth open or closed?",
        "What is {p} mouth doing?",
        "Describe {p} mouth.",
        "Mouth open or closed?",
        "What {does} {s} do with {p} mouth?",
        "What about the mouth?",
    ),
    "gaze": (
        "Where {is_} {s} looking?",
        "{Does} {s} look at the camera or away?",
        "Where {does} {s} look?",
        "{Is} {s} looking at the camera or somewhere else?",
        "In which direction is {p} gaze?",
        "Which way {does} {s} look?",
    ),
    "makeup": (
        "What make-up {does} {s} wear?",
        "{Is} {s} wearing makeup?",
        "Any makeup?",
        "Describe {p} makeup.",
        "{Does} {s} wear make-up?",
        "What about the make-up?",
    ),
    "picture": (
        "Is the picture sharp or blurry?",
        "How is the quality of the video?",
        "What is the picture like?",
        "Is the video blurry or sharp?",
        "How sharp is the picture?",
        "Is the image clear?",
    ),
    "description": (
        "Describe this person.",
        "Describe the person in this video.",
        "Who do you see?",
        "What do you see in this video?",
        "Tell me about the person in this clip.",
        "What does the person look like?",
        "Give a short description.",
        "Describe this video.",
        "Describe the face.",
        "What does the video show?",
        "Can you describe {o}?",
        "What do you see?",
    ),
}
"""Open questions by topic."""

IDENTITY = (
    "Who is this?",
    "What is {p} name?",
    "Who is the person in the video?",
    "Do you know who this is?",
    "Is this somebody famous?",
    "Name this person.",
    "Which actor is this?",
    "Can you identify {o}?",
    "Whose face is this?",
)
"""Who somebody is, is never answered."""

UNANSWERABLE = (
    "What is {p} job?",
    "What {does} {s} do for a living?",
    "How much {does} {s} weigh?",
    "How tall {is_} {s}?",
    "What {is_} {s} thinking?",
    "Where {does} {s} come from?",
    "What nationality {is_} {s}?",
    "{Is} {s} married?",
    "What religion {does} {s} have?",
    "{Is} {s} rich?",
    "{Is} {s} intelligent?",
    "{Is} {s} lying?",
    "What {is_} {s} saying?",
    "What does {p} voice sound like?",
    "What language {does} {s} speak?",
    "Where was this filmed?",
    "Which city is this?",
    "When was this filmed?",
    "What day is it?",
    "What is the weather like?",
    "Who is holding the camera?",
    "What happens outside of the picture?",
    "What happens next?",
    "What did {s} do before?",
    "What shoes {does} {s} wear?",
    "What colour are {p} trousers?",
    "What is in {p} pocket?",
    "What is behind the camera?",
    "{Does} {s} have children?",
    "{Does} {s} have a dog?",
    "What is {p} favourite food?",
    "{Is} {s} ill?",
    "{Is} {s} a good person?",
    "What is {p} phone number?",
    "What is {p} political opinion?",
    "How many people live in {p} house?",
    "What time is it?",
    "What colour are {p} eyes?",
    "Is {p} nose big?",
    "{Does} {s} have a pointy nose?",
    "What is {p} nose like?",
    "{Does} {s} have big lips?",
    "{Does} {s} have an oval face?",
    "{Does} {s} have high cheekbones?",
    "Are {p} eyebrows arched?",
    "Describe {p} eyebrows.",
    "{Does} {s} have narrow eyes?",
    "{Does} {s} have pale skin?",
    "{Does} {s} have rosy cheeks?",
    "{Does} {s} have sideburns?",
    "What is {p} skin like?",
    "{Is} {s} wearing a mask?",
    "{Is} {s} humming?",
    "{Is} {s} whistling?",
    "{Is} {s} singing?",
    "{Is} {s} eating?",
    "{Is} {s} drinking?",
    "{Is} {s} crying?",
    "{Is} {s} yawning?",
    "{Is} {s} chewing?",
    "{Is} {s} coughing?",
    "{Is} {s} kissing somebody?",
    "{Is} {s} winking?",
    "{Is} {s} blinking?",
    "{Is} {s} sleeping?",
    "{Is} {s} smoking?",
    "{Is} {s} reading?",
    "{Is} {s} whispering?",
    "{Is} {s} shouting?",
    "{Is} {s} listening to music?",
    "Does {p} expression change?",
    "{Does} {s} have a tattoo?",
    "{Does} {s} have freckles?",
    "What ring {does} {s} wear?",
    "What colour is {p} shirt?",
    "What {is_} {s} holding?",
    "How many fingers {does} {s} show?",
    "What is in the background?",
    "{Is} {s} standing or sitting?",
    "How strong {is_} {s}?",
    "Can {s} swim?",
)
"""Questions that no clip of a face can answer, or that no label of the training clips covers."""

CANNOT_TELL = "I can't tell that from this video."
CANNOT_IDENTIFY = "I can't tell who this is."
ENGLISH_ONLY = "I understand questions in English only."
NO_FACE = "I see no face in this video."


def taught(forms: tuple[str, ...]) -> tuple[str, ...]:
    """The templates for training: all except every third."""
    return tuple(form for index, form in enumerate(forms) if index % 3 != 2)


def held_out(forms: tuple[str, ...]) -> tuple[str, ...]:
    """The held-out templates, every third; none of fewer than three."""
    return forms[2::3]
