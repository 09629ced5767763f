"""Templates of questions: at least twelve for each kind of question and family.

Placeholders: ``{the}`` the person ("the woman"), ``{claim}`` a whole statement ("the woman is smiling"), ``{phrase}``
and ``{options}`` what is asked about, ``{topic}`` a part of the face ("the woman's hair"), ``{looks}`` an adjective.
"""

from __future__ import annotations

WHERE = ("", "", "", " in this video", " in the clip", " here")
"""What may follow a direct question."""

CLAIMS = (
    "Is it true that {claim}?",
    "Is it right that {claim}?",
    "Is it correct that {claim}?",
    "Would you say that {claim}?",
    "Would you agree that {claim}?",
    "Does the video show that {claim}?",
    "Can you confirm that {claim}?",
    "Is it the case that {claim}?",
    "Judging by the video, is it true that {claim}?",
    "Someone says that {claim}. Is that right?",
    "Would it be right to say that {claim}?",
)
"""Yes/no questions about a statement, besides the direct ones."""

PICTURE = ("the video", "the picture", "this clip", "the image")
"""How questions name the video itself."""

SEX = (
    "Is this a man or a woman?",
    "Do you see a man or a woman?",
    "Who is in the video, a man or a woman?",
    "Is the person in the clip a man or a woman?",
    "Is the person male or female?",
    "Does the video show a man or a woman?",
    "Which is right, a man or a woman?",
    "Is it a man or a woman that you see?",
    "Would you say that this is a man or a woman?",
    "Is a man or a woman shown in this video?",
    "What is the person's sex, male or female?",
    "Whom does this clip show, a man or a woman?",
)
SEX_CLAIMS = (
    "Is this {a_noun}?",
    "Is the person {a_noun}?",
    "Is the person {word}?",
    "Do you see {a_noun}?",
    "Does the video show {a_noun}?",
    "Is the person in the clip {word}?",
    "Is it true that the person is {word}?",
    "Is it right that this is {a_noun}?",
    "Would you say that the person is {word}?",
    "Would you agree that this is {a_noun}?",
    "Is {a_noun} shown in this video?",
    "Can you confirm that the person is {a_noun}?",
)

TOPICS: dict[str, tuple[str, bool]] = {
    "hair": ("hair", False),
    "brows": ("eyebrows", True),
    "eyes": ("eyes", True),
    "nose": ("nose", False),
    "mouth": ("mouth", False),
    "skin": ("skin", False),
    "face shape": ("face", False),
    "facial hair": ("facial hair", False),
}
"""Family -> what an open question asks about, and whether that is plural."""

OPEN = (
    "What {does} {topic} look like?",
    "Describe {topic}.",
    "How would you describe {topic}?",
    "What can you say about {topic}?",
    "What do you notice about {topic}?",
    "What {is_} {topic} like?",
    "Tell me about {topic}.",
    "Give a short description of {topic}.",
    "How {does} {topic} look?",
    "In a few words, describe {topic}.",
    "What stands out about {topic}?",
    "What {does} {topic} look like in this video?",
    "Say something about {topic}.",
    "Please describe {topic} in this clip.",
)
"""Open questions about a part of the face."""

OPEN_OF_FAMILY = {
    "accessories": (
        "What is {the} wearing?",
        "Which accessories can you see on {the}?",
        "What does {the} wear?",
        "Name what {the} is wearing.",
        "Which accessories does {the} have on?",
        "Which accessories is {the} wearing?",
        "What can you see {the} wearing?",
        "Describe what {the} is wearing.",
        "Tell me what {the} is wearing.",
        "What is {the} wearing in this video?",
        "In a few words, what does {the} wear?",
        "What accessories does {the} wear in the clip?",
    ),
    "action": (
        "What is {the} doing?",
        "Which actions can you see?",
        "What happens in this video?",
        "Describe what {the} does.",
        "What does {the} do in this clip?",
        "What can you see {the} doing?",
        "Tell me what {the} is doing.",
        "Which actions does {the} perform?",
        "What is going on in this video?",
        "In a few words, what is {the} doing?",
        "Describe {the}'s actions.",
        "Name what {the} is doing.",
    ),
}

CHOICES = {
    "is": (
        "Is {the} {options}?",
        "Which of these is {the}: {options}?",
        "Which is right: is {the} {options}?",
        "Which fits {the}: {options}?",
        "Would you say {the} is {options}?",
        "Choose what is true: is {the} {options}?",
        "One of these is right. Is {the} {options}?",
        "Which is true of {the}: {options}?",
        "In this video, is {the} {options}?",
        "Pick what fits {the}: {options}.",
        "In this clip, which is {the}: {options}?",
        "Which do you see: is {the} {options}?",
    ),
    "has": (
        "Does {the} have {options}?",
        "Which of these does {the} have: {options}?",
        "What does {the} have: {options}?",
        "Which of these can you see on {the}: {options}?",
        "Would you say {the} has {options}?",
        "Choose what is true: does {the} have {options}?",
        "One of these is right. Does {the} have {options}?",
        "Which is true of {the}: {options}?",
        "In this video, does {the} have {options}?",
        "Pick what fits {the}: {options}.",
        "Which fits {the}: {options}?",
        "Which do you see on {the}: {options}?",
    ),
    "hair": (
        "Is {the}'s hair {options}?",
        "What colour is {the}'s hair: {options}?",
        "Which hair colour does {the} have: {options}?",
        "Which of these is {the}'s hair colour: {options}?",
        "Would you say {the}'s hair is {options}?",
        "Choose the colour of {the}'s hair: {options}.",
        "In this video, is {the}'s hair {options}?",
        "Which colour fits {the}'s hair: {options}?",
        "Pick the colour of {the}'s hair: {options}.",
        "One of these is right. Is {the}'s hair {options}?",
        "Of these, which is the colour of {the}'s hair: {options}?",
        "What is the colour of {the}'s hair: {options}?",
    ),
    "looks": (
        "How does {the} look: {options}?",
        "Which word fits {the}'s expression best: {options}?",
        "Is {the}'s expression {options}?",
        "Which of these emotions does {the} show: {options}?",
        "Does {the} look {options}?",
        "Choose the word for {the}'s expression: {options}.",
        "Pick what fits {the}'s face: {options}.",
        "How does {the} seem to feel: {options}?",
        "Would you say {the} looks {options}?",
        "In this video, does {the} look {options}?",
        "What does {the}'s face express: {options}?",
        "One of these is right. Does {the} look {options}?",
    ),
}
"""Questions that offer a choice, by what the options follow."""

EXPRESSION = (
    "What is {the}'s expression?",
    "How does {the} look?",
    "What emotion does {the} show?",
    "Which emotion can you see on {the}'s face?",
    "What does {the}'s face express?",
    "How does {the} seem to feel?",
    "Describe {the}'s expression.",
    "What mood does {the} seem to be in?",
    "What can you read from {the}'s face?",
    "Name the emotion that {the} shows.",
    "Which feeling does {the}'s face show?",
    "How would you describe {the}'s expression?",
    "Tell me how {the} seems to feel.",
)
EXPRESSION_ANSWERS = (
    "{They} {look} {looks}.",
    "{The} looks {looks}.",
    "{Their} expression is {looks}.",
    "{Their} face looks {looks}.",
    "{They} {seem} {looks}.",
)

CHANGES = (
    "Does {the}'s expression change?",
    "Does {the}'s expression change during the video?",
    "Does the emotion on {the}'s face change over time?",
    "Is there a change in {the}'s expression?",
    "Does {the}'s mood change in this clip?",
    "Can you see {the}'s expression change?",
    "Does {the} look different at the end than at the beginning?",
    "Is {the}'s expression at the end another than at the start?",
    "Does anything change in {the}'s expression?",
    "Does {the}'s face go from one emotion to another?",
    "Over the video, does {the}'s expression change?",
    "Would you say that {the}'s expression changes?",
)
"""Answered yes where the emotion changes. Two of them compare the end with the start."""
COMPARES_ENDS = frozenset(CHANGES[6:8])
STAYS = (
    "Does {the}'s expression stay the same?",
    "Is {the}'s expression the same throughout?",
    "Does {the} keep the same expression all the time?",
    "Does the emotion on {the}'s face stay the same?",
    "Does {the}'s mood stay the same in this clip?",
    "Does {the} show a single emotion throughout the video?",
    "Is {the}'s expression constant?",
    "Does {the} look the same from start to end?",
    "Over the video, does {the}'s expression remain the same?",
    "Would you say that {the}'s expression stays the same?",
    "Is it one and the same emotion from beginning to end?",
    "Does {the}'s face express the same emotion all along?",
)
"""Answered no where the emotion changes."""
COURSE = (
    "How does {the}'s expression change over time?",
    "Describe how {the}'s expression changes.",
    "Which emotions does {the} show, and in what order?",
    "How does {the}'s mood develop during the video?",
    "Tell how {the}'s expression develops.",
    "What happens to {the}'s expression over the video?",
    "Which emotions follow each other on {the}'s face?",
    "Describe the course of {the}'s emotions.",
    "How do {the}'s emotions change from start to end?",
    "List the emotions that {the} shows, in order.",
    "In what order do emotions appear on {the}'s face?",
    "How does {the}'s face change during the clip?",
)
BEGINNING = (
    "How does {the} look at the beginning?",
    "What is {the}'s expression at first?",
    "Which emotion does {the} show at the start of the video?",
    "What does {the}'s face express in the beginning?",
)
ENDING = (
    "How does {the} look at the end?",
    "What is {the}'s expression at the end of the video?",
    "Which emotion does {the} show last?",
    "What does {the}'s face express in the end?",
)
WHEN = (
    "When does {the} start to look {looks}?",
    "From when on does {the} look {looks}?",
    "At what time does {the}'s expression become {looks}?",
    "When does {the}'s face turn {looks}?",
)
BEFORE = (
    "Does {the} look {first} before looking {second}?",
    "Is {the}'s expression {first} before it is {second}?",
    "Does {the} look {first} first and {second} later?",
    "Does {the}'s expression go from {first} to {second}?",
)
"""Answered yes where the first comes before the second; each emotion shown once."""
WHICH_FIRST = (
    "Which comes first on {the}'s face: {options}?",
    "What does {the} look like first, {options}?",
    "Which expression does {the} show earlier: {options}?",
    "Does {the} first look {options}?",
)

DESCRIPTION = (
    "What does {the} look like?",
    "Describe {the}'s appearance.",
    "Describe {the} in one sentence.",
    "What can you say about {the}'s looks?",
    "Which features can you see on {the}?",
    "How would you describe {the}?",
    "Give a description of {the}'s appearance.",
    "In one sentence, what does {the} look like?",
    "What do you notice about {the}'s appearance?",
    "Tell me what {the} looks like.",
    "Please describe how {the} looks.",
    "What does the person in this video look like?",
)

INSTRUCTIONS = (
    "Describe the person in this video.",
    "Summarize what this video shows.",
    "What do you see in this video?",
    "Give a short description of this face video.",
    "Write a caption for this clip.",
    "Tell me about the person in this clip.",
    "Describe this clip.",
    "What does this video show?",
    "Describe the face in this video and what it does.",
    "Summarize the clip in a few sentences.",
    "Please caption this video.",
    "Say in your own words what can be seen here.",
)
"""What a summary is asked for with."""
OPENINGS = (
    "The video shows {person}",
    "This clip shows {person}",
    "In this video we see {person}",
    "The clip is of {person}",
    "This is a video of {person}",
    "Here we see {person}",
    "The clip features {person}",
    "This video is about {person}",
    "We can see {person}",
    "In the clip there is {person}",
    "Shown here is {person}",
    "The person in the video is {person}",
)
"""How a summary begins; the last one only where the noun says more than "a person"."""
