"""What a clip of one face does not show: the kinds of matters, and the words that ask for them.

A question may name what scores tell and still be about something else: why somebody smiles, whether a brother is bald,
what the glasses cost. Questions that name nothing of it are refused without these words.
"""

from __future__ import annotations

import re

_KINDS = {
    "another person": (
        r"(?:grand)?(?:mother|father|parent|son|daughter|brother|sister|mom|mum|dad|uncle|aunt|cousin|husband|wife|"
        r"spouse|partner|boyfriend|girlfriend|friend|colleague|boss|neighbou?r|twin|family|ex)(?:'?s)?"
        r"|children|kids|babies|families|wives|people|everyone|everybody|nobody|crowd|audience|interviewer|reporter|cameraman"
        r"|(?<!somewhere )else|(?:the )?(?:other|second|third|next|first) (?:person|man|woman|guy|girl)"
        r"|each other|(?:two|three|four|several|more) (?:persons|men|women|guys|faces)"
        r"|(?:next to|behind|beside|in front of|near|from) (?:they|me|you|us)|dogs?|cats?|pets?|animals?|horse|bird"
    ),
    "a part of the body that is out of sight": (
        r"hands?|arms?|fingers?|legs?|foot|feet|toes?|knees?|chest|belly|stomach|nails?|thumbs?|body|back of"
    ),
    "another time": (
        r"yesterday|tomorrow|tonight|(?:last|next|previous|this|every|each) (?:\w+ )?(?:year|month|week|night|day|time|"
        r"summer|winter|morning|evening)s?|years?(?! old)|months?|weeks?|hours?|ago|soon|will|won't|going to|later on|someday|"
        r"as an? (?:child|kid|boy|girl|teenager|baby|student)|used to|in (?:the )?(?:future|past)|childhood|ha(?:s|ve) (?:they )?ever|always|"
        r"usually|often|normally|generally|daily|since|still be|when (?:they|it) (?:was|were)|anymore|any more|no longer|"
        r"lately|recently|yet|born|birthday|grow(?:ing)?|grew|went|before (?:it|they) |about to(?! their)|would (?:they|it|their)|before (?:the|this) (?:video|clip)"
        r"|after (?:the|this|that)|(?:do|doing|did|happen\w*|going on|look\w*) (?:\w+ )?(?:before|after|afterwards|later|earlier|next)|(?:happens|comes|come) next|(?:before|formerly|previously|afterwards)$|(?:do|be) next|morning|evening"
    ),
    "a cause, or whom something is for": (
        r"why|reasons?|because|cause[sd]?|how come|mad(?:e|ing) (?:they|their)|makes (?:they|their)|what for|due to|purpose"
        r"|(?:smil|laugh|frown|nod|star|look|point|shout|talk|speak)\w* (?:at|to|with|about) (?:who|whom|what)"
        r"|(?:who|whom|what) (?:is|are|does|do|was) (?:they|their \w+) (?!up to)(?:\w+ing|\w+) (?:about|to|with|for|of|at)$"
        r"|(?:who|whom) (?:is|are|does|do) they (?:smil|laugh|look|star|nod|talk|speak)\w*(?: \w+)?$"
        r"|talk(?:s|ing)? (?:to|with|about)|speak(?:s|ing)? (?:to|with|about)"
    ),
    "what a thing is and where it is from": (
        r"costs?|price[sd]?|expensive|cheap|worth|dollars?|euros?|brands?|bought|buy|made (?:of|in|by)|prescription|designer"
        r"|gold(?:en)?|diamonds?|silver (?=earrings|necklace|glasses)|leather|owns|owned|belongs?|dye[sd]?|wigs?|naturally"
        r"|natural|fakes?|faked|genuine|artificial|real|deepfake|authentic|photoshop\w*|implants?|botox|surgery|"
        r"shampoo|stylist|barber|hairdresser|dentist|contact lenses|contacts|lenses"
    ),
    "sound and speech": (
        r"voice|accent|languages?|english|german|french|spanish|chinese|words?(?= (?:is|are|does|do|they))|transcri\w+|"
        r"said|told|sound(?:s|ing)?|noise|(?<!to )music|hear|heard|audio|subtitles?|lyrics"
        r"|what (?:is|are|does|do|did|was) they (?:just )?(?:say|saying|talk|talking|speak|speaking)"
    ),
    "thoughts, wishes and habits": (
        r"thinks?|thinking|thoughts?|likes(?= )|(?:do|does|did|would|not|n't|they) (?:like|love|enjoy|prefer|hate|want|need|"
        r"care|believe|know|remember|regret|plan|hope|wish|mean|intend|vote)|loves|hates|prefers|wants|favou?rite|"
        r"opinions?|pretend\w*|acting|honest\w*|lying|lies|truth|intention\w*|plans|dreams?|hobb(?:y|ies)|secretly"
    ),
    "who and what somebody is": (
        r"jobs?|profession|occupation|for (?:a )?living|for work|salary|earns?|money|rich|poor|wealthy|weighs?|weight|"
        r"tall|height|nationality|citizenship|countr(?:y|ies)|ethnic\w*|race|religio\w+|politic\w*|married|divorced|dating|"
        r"health\w*|sick|ill|disease|illness|depress\w*|drunk|drugs?|pregnant|iq|smart|intelligent|personality|character|"
        r"guilty|criminal|crime|dangerous|hire|trust\w*|addict\w*|strong|lives? in|address|phone number|email|school|"
        r"universit\w+|studie[sd]|studying"
    ),
    "where and when it was filmed": (
        r"filmed|recorded|taken|shot|city|place|location|indoors?|outdoors?|weather|background|room|walls?|window|"
        r"behind (?:they|the|a|me|you|their)|outside (?:of )?the|film(?:ing|s)|cameraman|(?:hold|held)\w* the camera|what (?:day|time|year)|what camera|"
        r"which camera|day or night|date"
    ),
    "a thing that is held or worn elsewhere": (
        r"(?:t-?)?shirts?|jackets?|clothes|clothing|coat|suit|dress|skirt|trousers|pants|jeans|shoes?|socks|gloves?|rings?|"
        r"watch|bracelets?|scarf|belt|pockets?|bags?(?! (?:are )?(?:\w+ )?(?:under|beneath|below))|phones?|books?|cups?|bottle|microphone|pen|tattoos?|piercings?|"
        r"scars?|freckles|wrinkles|moles?|pimples|acne|dimples|hold(?:s|ing)?(?! their head)|carry|carrying|tables?|cars?"
    ),
    "the system that answers": (
        r"are you|who made you|what can you do|your (?:name|model|prompt|instructions?|opinion|favou?rite|rules?)|"
        r"(?:system )?prompt|instructions|language model|chatgpt|openai|trained|sure|accura\w+|confiden\w+"
    ),
    "a colour that no attribute has": r"red|blue|green|pink|purple|yellow|orange|violet|ginger|auburn|redhead(?:ed)?",
    "how much": (
        r"how (?:many(?! years old)|much(?! (?:makeup|hair|beard))|often|far|fast|tall|heavy|big|strong|loud|(?:smart|rich|attractive)\w*)"
        r"|how long (?:has|have|had|did|does|do|is the (?:video|clip)|ago|until|it)|percentage|per cent|rate|score|"
        r"scale|minutes?|seconds? long|resolution|fps|heart rate|temperature"
    ),
}
_WORDS = re.compile(r"\b(?:" + "|".join(_KINDS.values()) + r")(?![\w'])")
_OTHER_COLOUR = re.compile(r"^(?!.*\bhair\b).*\b(?:(?:what|which|name the|describe the|tell me the) colour\b|colour of\b)")


def asks_for_unseen(text: str) -> bool:
    """Whether plain words (``favchat.labels.question_text.plain_words``) ask for what a clip of a face does not show."""
    return _WORDS.search(text) is not None or _OTHER_COLOUR.search(text) is not None
