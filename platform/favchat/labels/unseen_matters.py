"""What a clip of one face does not show: the kinds of matters, and the words that ask for them.

A question may name what scores tell and still be about something else: why somebody smiles, whether a brother is bald,
what the glasses cost. Questions that name nothing of it are refused without these words.
"""

from __future__ import annotations

import re

_KINDS = {
    "another person": (
        r"(?:grand)?(?:mother|father|parent|son|daughter|brother|sister|mom|mum|dad|uncle|aunt|cousin|husband|wife|"
        r"spouse|partner|boyfriend|girlfriend|friend|colleague|boss|neighbou?r|twin|family|ex)(?:'?s)?|children|kids|"
        r"babies|families|wives|people|everyone|everybody|nobody|crowd|audience|interviewer|reporter|cameraman|"
        r"(?<!somewhere )else|(?:the )?(?:other|second|third|next|first) (?:person|man|woman|guy|girl)|each other|"
        r"(?:two|three|four|several|more) (?:persons|men|women|guys|faces)|(?:next to|behind|beside|in front of|near|"
        r"from) (?:they|me|you|us)|dogs?|cats?|pets?|animals?|horse|bird"
    ),
    "a part of the body that is out of sight": (
        r"hands?|arms?|fingers?|legs?|foot|feet|toes?|knees?|chest|belly|stomach|nails?|thumbs?|body|back of"
    ),
    "another time": (
        r"yesterday|tomorrow|tonight|(?:last|next|previous|this|every|each) (?:\w+ )?(?:year|month|week|night|day|"
        r"time|summer|winter|morning|evening)s?|years?(?! old)|months?|weeks?|hours?|ago|soon|will|won't|going to|"
        r"later on|someday|as an? (?:child|kid|boy|girl|teenager|baby|student)|used to|in (?:the )?(?:future|past)|"
        r"childhood|ha(?:s|ve) (?:they )?ever|always|usually|often|normally|generally|daily|since|still be|"
        r"when (?:they|it) (?:was|were)|anymore|any more|no longer|lately|recently|yet|born|birthday|grow(?:ing)?|"
        r"grew|went|before (?:it|they) |about to(?! their)|would (?:they|it|their)|before (?:the|this) (?:video|clip)|"
        r"after (?:the|this|that)|(?:do|doing|did|happen\w*|going on|look\w*) (?:\w+ )?(?:before|after|afterwards|"
        r"later|earlier|next)|(?:happens|comes|come) next|(?:before|formerly|previously|afterwards)$|(?:do|be) next|"
        r"morning|evening"
    ),
    "a cause, or whom something is for": (
        r"why|reasons?|because|cause[sd]?|how come|mad(?:e|ing) (?:they|their)|makes (?:they|their)|what for|due to|"
        r"purpose|(?:smil|laugh|frown|nod|star|look|point|shout|talk|speak)\w* (?:at|to|with|about) (?:who|whom|what)|"
        r"(?:who|whom|what) (?:is|are|does|do|was) (?:they|their \w+) (?!up to)(?:\w+ing|\w+) (?:about|to|with|for|of|"
        r"at)$|(?:who|whom) (?:is|are|does|do) they (?:smil|laugh|look|star|nod|talk|speak)\w*(?: \w+)?$|talk(?:s|"
        r"ing)? (?:to|with|about)|speak(?:s|ing)? (?:to|with|about)"
    ),
    "what a thing is and where it is from": (
        r"costs?|price[sd]?|expensive|cheap|worth|dollars?|euros?|brands?|bought|buy|made (?:of|in|by)|prescription|"
        r"designer|gold(?:en)?|diamonds?|silver (?=earrings|necklace|glasses)|leather|owns|owned|belongs?|dye[sd]?|"
        r"wigs?|naturally|natural|fakes?|faked|genuine|artificial|real|deepfake|authentic|photoshop\w*|implants?|"
        r"botox|surgery|shampoo|stylist|barber|hairdresser|dentist|contact lenses|contacts|lenses"
    ),
    "sound and speech": (
        r"voice|accent|languages?|english|german|french|spanish|chinese|words?(?= (?:is|are|does|do|they))|transcri\w+|"
        r"said|told|sound(?:s|ing)?|noise|(?<!to )music|hear|heard|audio|subtitles?|lyrics"
        r"|what (?:is|are|does|do|did|was) they (?:just )?(?:say|saying|talk|talking|speak|speaking)"
    ),
    "thoughts, wishes and habits": (
        r"thinks?|thinking|thoughts?|likes(?= )|(?:do|does|did|would|not|n't|they) (?:like|love|enjoy|prefer|hate|"
        r"want|need|care|believe|know|remember|regret|plan|hope|wish|mean|intend|vote)|loves|hates|prefers|wants|"
        r"favou?rite|opinions?|pretend\w*|acting|honest\w*|lying|lies|truth|intention\w*|plans|dreams?|hobb(?:y|ies)|"
        r"secretly"
    ),
    "who and what somebody is": (
        r"jobs?|profession|occupation|for (?:a )?living|for work|salary|earns?|money|rich|poor|wealthy|weighs?|weight|"
        r"tall|height|nationality|citizenship|countr(?:y|ies)|ethnic\w*|race|religio\w+|politic\w*|married|divorced|"
        r"dating|health\w*|sick|ill|disease|illness|depress\w*|drunk|drugs?|pregnant|iq|smart|intelligent|personality|"
        r"character|guilty|criminal|crime|dangerous|hire|trust\w*|addict\w*|strong|lives? in|address|phone number|"
        r"email|school|universit\w+|studie[sd]|studying"
    ),
    "where and when it was filmed": (
        r"filmed|recorded|taken|shot|city|place|location|indoors?|outdoors?|weather|background|room|walls?|window|"
        r"behind (?:they|the|a|me|you|their)|outside (?:of )?the|film(?:ing|s)|cameraman|(?:hold|held)\w* the camera|"
        r"what (?:day|time|year)|what camera|which camera|day or night|date"
    ),
    "a thing that is held or worn elsewhere": (
        r"(?:t-?)?shirts?|jackets?|clothes|clothing|coat|suit|dress|skirt|trousers|pants|jeans|shoes?|socks|gloves?|"
        r"rings?|watch|bracelets?|scarf|belt|pockets?|bags?(?! (?:are )?(?:\w+ )?(?:under|beneath|below))|phones?|"
        r"books?|cups?|bottle|microphone|pen|tattoos?|piercings?|scars?|freckles|wrinkles|moles?|pimples|acne|dimples|"
        r"hold(?:s|ing)?(?! their head)|carry|carrying|tables?|cars?"
    ),
    "the system that answers": (
        r"are you|who made you|what can you do|your (?:name|model|prompt|instructions?|opinion|favou?rite|rules?)|"
        r"(?:system )?prompt|instructions|language model|chatgpt|openai|trained|sure|accura\w+|confiden\w+"
    ),
    "a colour that no attribute has": r"red|blue|green|pink|purple|yellow|orange|violet|ginger|auburn|redhead(?:ed)?",
    "how much": (
        r"how (?:many(?! years old)|much(?! (?:makeup|hair|beard))|often|far|fast|tall|heavy|big|strong|loud|(?:smart|"
        r"rich|attractive)\w*)|how long (?:has|have|had|did|does|do|is the (?:video|clip)|ago|until|it)|percentage|"
        r"per cent|rate|score|scale|minutes?|seconds? long|resolution|fps|heart rate|temperature"
    ),
}
_WORDS = re.compile(r"\b(?:" + "|".join(_KINDS.values()) + r")(?![\w'])")
_OTHER_COLOUR = re.compile(
    r"^(?!.*\bhair\b).*\b(?:(?:what|which|name the|describe the|tell me the) colour\b|colour of\b)"
)


def asks_for_unseen(text: str) -> bool:
    """Whether plain words (``labels.question_text``) ask for what a clip of a face does not show."""
    return _WORDS.search(text) is not None or _OTHER_COLOUR.search(text) is not None
