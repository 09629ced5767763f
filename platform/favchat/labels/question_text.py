"""What people type, in the plain words that the grammars of questions read.

Small letters, contractions written out, spelling of chats and typing errors mended, whoever is asked about called
"they", and courtesies and frames ("hi, can you tell me if ...") left out.
"""

from __future__ import annotations

import re
from functools import lru_cache

from favchat.labels.attribute_parser import parse_statements
from favchat.labels.typing_errors import without_typing_errors

LONGEST = 2000
"""Letters of the longest message whose questions are read."""
Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(*pairs: tuple[str, str]) -> Rules:
    return tuple((re.compile(words), plain) for words, plain in pairs)


_SPELLING = _rules(
    (r"\b(what|who|where|how|that|there|it|he|she)s\b(?! (?:name|own))", r"\1's"),
    (r"\btheyre\b", "they are"),
    (r"\b(is|are|was|were|do|does|did|has|have|ca|wo|could|would|should)nt\b", r"\1n't"),
    (r"\bain'?t\b", "isn't"),
    (r"\bu\b", "you"),
    (r"\br\b(?= (?:you|they|their|the)\b)", "are"),
    (r"\bur\b", "your"),
    (r"\b(?:pls|plz|plss|pleas)\b", "please"),
    (r"\bgimme\b", "give me"),
    (r"\bdunno\b", "do not know"),
    (r"\bgonna\b", "going to"),
    (r"\bwanna\b", "want to"),
    (r"\b(?:somebody|sb)\b", "someone"),
    (r"\b(?:vid|vids|videoclip|footage|recording|film)\b", "video"),
    (r"\b(?:pic|pics|photo|photograph|frame|screen)\b", "picture"),
    (r"\b(?:specs|spects)\b", "spectacles"),
    (r"\b(?:tache|stache)\b", "mustache"),
    (r"\bmake[- ]?up\b", "makeup"),
    (r"\blip stick\b", "lipstick"),
    (r"\bear rings?\b", "earrings"),
    (r"\b(sun|eye) glasses\b", r"\1glasses"),
    (r"\bneck (?=lace|tie)", "neck"),
    (r"\bhair(?=colou?r)", "hair "),
    (r"\bblack[- ]and[- ]white\b", "black and white"),
    (r"\bjewell?e?ry\b|\bjewels\b", "jewellery"),
    (r"\bb ?& ?w\b|\bb/w\b", "black and white"),
    (r" ?& ?", " and "),
    (r"(?<=[a-z]) ?/ ?(?=[a-z])", " or "),
    (r"\bcolors?\b|\bcolours\b", "colour"),
    (r"\bgrey\b", "gray"),
    (r"\b(?:dude|bloke|chap|fell?a|fellow)\b", "guy"),
    (r"\b(?:gal|chick)\b", "girl"),
)
_CONTRACTIONS = _rules(
    (r"\b(he|she|it|they|who|what)'s got\b", r"\1 has got"),
    (r"\b(what|who|where|when|how|that|there|here|it|he|she)'s\b", r"\1 is"),
    (r"\b(they|you|what|who)'re\b", r"\1 are"),
    (r"\bi'm\b", "i am"),
)
_HEAD = (
    r"(?:person|individual|human|subject|man|woman|guy|lady|girl|boy|gentleman|male|female|kid|child|"
    r"teen|teenager|baby)"
)
_PERSON = (
    rf"(?:the|this|that|our) (?:young |old |little |same )?{_HEAD}"
    r"(?: (?:(?:that is |who is |shown |seen )?(?:in|of|on|from) (?:the|this|that) (?:video|clip|picture)|here|shown))?"
)
_PEOPLE = _rules(
    (
        rf"\b(?:{_PERSON}'s|his|her(?= [a-z])(?! (?:right|too|please|is|are|has|and|or|to|in|on|at|with|while|from|for|"
        r"[a-z]+(?<!earr)(?<!cloth)ing)\b))",
        "their",
    ),
    (rf"\b(?:{_PERSON}|he|she|him|hers?|them)\b(?<!\ba he)(?<!\ba she)", "they"),
    (r"\bthe (\w+(?: colou?r)?) of they\b", r"their \1"),
    (r"\bwhere (do|are) (?:their|the) eyes (?=look|gaz|star)", r"where \1 they "),
)
_CALLED = re.compile(
    r"\b(?:would|could|can|do) you (?:(?:describe|see) they as|(?:call|consider) they(?: as| to be)?) (?=\w)"
)
_COURTESY = re.compile(
    r"^(?:(?:hi|hey|hello|hallo|good (?:morning|day|evening)|ok|okay|so|well|hm+|now|and|but|also|then|please|thanks|"
    r"thank you|sorry|excuse me|just|actually|you know)(?: (?:there|all|everyone))?\b[,:;.! ]*"
    r"|(?:a |one |my |another )?(?:quick |short |simple |last )?question[:,.!] *"
    r"|yes or no\b[:,]? *|(?:just )?(?:answer|tell me|say)[^:?]{0,30}: *)+"
)
_FRAME = re.compile(
    r"^(?:(?:can|could|would|will) (?:you|u|one|i) (?:please )?(?:tell|say|check|confirm|see|judge|look)(?: me|"
    r" us)? (?:if|whether|that)\b|(?:can|could|would|will) (?:you|u) (?:please )?(?=(?:tell|say|describe|explain|name|"
    r"list|give|guess|estimate|summari[sz]e|write|show)\b)|(?:tell|explain|show)(?: to)?(?: me| us)? (?=(?:what|which|"
    r"how|where)\b)|(?:please )?(?:tell|show) (?:me|us) (?:if|whether)\b|(?:please )?check (?:if|whether)\b|i (?:want|"
    r"would like|wanted|need|would love) to know (?:if|whether)\b|i wonder (?:if|whether)\b|do you (?:think|know|"
    r"notice|believe|see|feel)(?: that| if| whether)?(?= (?:they|it|there|this|that|their)\b)|(?:would|could|"
    r"can) (?:you|one|we) say(?: that)?\b|i (?:think|guess|believe|suppose)(?: that)?\b|am i right (?:that|"
    r"in (?:thinking|saying)(?: that)?)\b|let me know (?:if|whether)\b|any idea (?:if|whether)\b|(?:i want|"
    r"i would like|i'd like|i need|could it be|is there any chance)(?: to know)? (?:if|whether|that)\b|(?:i want|"
    r"i would like|i'd like|i need|let us have|show me|i am looking for) (?=(?:a|an|the|their|some)\b)|(?:are you|"
    r"are we|am i|do we) (?:seeing|looking at|see|watching)\b|(?:would|do) you agree(?: that)?\b|(?:is|"
    r"would) it (?:be )?(?:true|right|correct|the case)(?: to say)? that\b|some(?:one|body) says(?: that)?\b|"
    r"does the video show that\b|is it possible that\b|does it (?:look|seem) (?:like|as if)\b|it (?:looks|"
    r"seems) (?:like|as if)\b|judging by the video,?|in your opinion,?|any chance(?: that)?\b)\s*"
)
_ASIDE = re.compile(
    r"\b(?:do|would|can|could|might) (?:you|one) (?:think|say|guess|estimate|reckon|believe|suppose)(?: that)?\b"
    r"(?! (?:about|of)\b) *(?=\S|$)|\b(?:in your opinion|if you had to guess|i mean|by the way|btw)\b,? *"
)
_SURELY = re.compile(r"^(is|are|was|were|does|do|did|has|have)n't\b")
"""A question that begins with a denial asks for the same as one without: "isn't she smiling?"."""
_TAG = re.compile(
    r"(?:,? *(?<!and )(?<!or )(?<!the )(?<!to )\b(?:right|correct|yes|yeah|yep|no|ok|okay|huh|true|innit|or not|"
    r"or what|yes or no|am i right|am i wrong|is that (?:right|true|correct|so)|please|thanks|thank you|thx|lol|"
    r"(?:or )?(?:is|are|does|do|has|have|isn't|aren't|doesn't|don't|hasn't|haven't) (?:they|it|there))) *$"
)
_TAG_ALONE = re.compile(
    r"^(?:is that (?:right|true|correct|so)|right|correct|am i right|yes or no|or not|true|isn't (?:it|they)|or|"
    r"(?:what )?do you (?:think|agree)|agreed?)$"
)
_SENTENCE_END = re.compile(r"(?<=[.?!])[.?!)]*\s+|\n+")
_CLAUSE_END = re.compile(
    r"(?<=,) +(?=(?:(?:is|are|does|do|did|has|have) (?:he|she|they|it|the|this|that|there|his|her) |(?:what|how|"
    r"which|who|"
    r"where|can you|do you)\b))",
    re.IGNORECASE,
)
_IS_CLAUSE = re.compile(
    r"^(?:i|we|my|he|she|they|it|this|that|there|so|sorry|hi|hello|what|who|how|where|is|are|does|do|did|has|have|"
    r"who's|"
    r"what's|how's)\b",
    re.IGNORECASE,
)
_BEGINS_TO_ASK = re.compile(
    r"^(?:what|which|who|whom|whose|where|when|why|how|is|are|was|were|do|does|did|has|have|had|can|could|will|would|"
    r"should|any|describe|tell|give|name|say|list|guess|write|identify|summari[sz]e|caption|read|show|isn't|doesn't)\b"
)
_FORM = re.compile(r"^(?:just )?(?:answer|respond|reply|use|be (?:honest|brief|short)|keep|choose|pick|only)\b")

_OPTIONS = re.compile(r"^(?:options?|choices?|answers?|choose|pick|select|one of|[a-d][).:])")


@lru_cache(maxsize=4096)
def plain_words(question: str) -> str:
    """A question in small letters and plain words, where whoever is asked about is "they"."""
    text = spelt_out(question)
    for words, plain in _PEOPLE:
        text = words.sub(plain, text)
    return _CALLED.sub("is they ", text)


@lru_cache(maxsize=4096)
def spelt_out(question: str) -> str:
    """A question in small letters, its spelling mended and contractions written out."""
    text = " ".join(question.strip().lower().replace("’", "'").replace("`", "'").split())
    for words, plain in (*_SPELLING, *_CONTRACTIONS):
        text = words.sub(plain, text)
    return without_typing_errors(text)


@lru_cache(maxsize=4096)
def core(text: str) -> str:
    """Plain words without courtesies, frames, tags and the mark at the end."""
    begun = _COURTESY.sub("", _ASIDE.sub("", text), count=1)
    begun = _COURTESY.sub("", _FRAME.sub("", begun), count=1)
    begun = _SURELY.sub(r"\1", begun)
    before = None
    while before != begun:
        before = begun
        begun = _TAG.sub("", begun.rstrip(" .?!,;:)(")).rstrip(" .?!,;:")
    return begun


@lru_cache(maxsize=4096)
def asking_sentences(message: str) -> tuple[str, ...]:
    """The sentences of a message that ask; all of it as one where none does, or where others may be what it is about.

    A tag ("Is that right?") belongs to the sentence before; how to answer ("Answer with yes or no.") is left out.
    """
    sentences: list[str] = []
    for one in filter(None, (part.strip() for part in _parts(message.strip()))):
        bare = plain_words(one).strip(" .?!,;:")
        if sentences and _TAG_ALONE.match(bare):
            sentences[-1] = f"{sentences[-1].rstrip(' .?!')}?"
        elif bare:
            sentences.append(one)
    asking = [one for one in sentences if _asks(one)]
    if any(_OPTIONS.match(one.lower()) and parse_statements(one) for one in sentences):
        return (message.strip(),)
    return tuple(asking) if asking else (message.strip(),)


def _parts(message: str) -> list[str]:
    parts: list[str] = []
    for sentence in _SENTENCE_END.split(message):
        clauses = _CLAUSE_END.split(sentence)
        # "From 1 to 2 s, which ..." is one question, "I see badly, which ..." has one in its second clause.
        parts += clauses if all(_IS_CLAUSE.match(one) for one in clauses[:-1]) else [sentence]
    return parts


def _asks(sentence: str) -> bool:
    plain = core(plain_words(sentence))
    if _FORM.match(plain):
        return False
    return bool(plain) and (sentence.rstrip(" )").endswith("?") or _BEGINS_TO_ASK.match(plain) is not None)
