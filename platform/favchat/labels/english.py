"""Whether a question is in English."""

from __future__ import annotations

import re
from functools import lru_cache

_FOREIGN = frozenset(
    str.split(
        "der das dem den des ist sind ein eine einen einer und oder nicht mit wie wer wo wann warum welche "
        "welcher er sie ihr ihre ihren sein seine ihm dieser diese dieses trägt macht hier auf zu von haare "
        "brille jemand mann frau alt el la los las un una es está qué que quién cómo dónde cuándo cuántos "
        "cuántas y o lleva tiene su sus él ella en de del por este esta esto hombre mujer persona hace "
        "haciendo pelo gafas le les une est sont et ou elle il ils qui quoi quel quelle quels comment où "
        "quand pourquoi avec dans ce cette se porte fait son sa ses sur homme femme cheveux lunettes vidéo "
        "che chi cosa come dove quando perché è gli lei lui uomo donna occhiali fa suo sua sono quem como "
        "onde ele ela óculos cabelo tem usando uma wat waar hij zij een het draagt heeft"
    )
) - frozenset(str.split("o on sa y en de la le du es come fa se ou il or son a"))
"""Frequent words of German, Spanish, French, Italian, Portuguese and Dutch that are none of English."""
_ENGLISH = frozenset(
    str.split(
        "the is are what does do did he she they his her their this that how who which where when why you any "
        "of with wearing have has person man woman video can could would my your it its them him and or not "
        "describe tell me hair"
    )
)


@lru_cache(maxsize=4096)
def is_english(question: str) -> bool:
    """Whether a question is in English, as far as its most frequent words and its letters tell."""
    words = re.findall(r"[^\W\d_]+", question.lower())
    if "¿" in question or "¡" in question:
        return False
    latin = sum(word.isascii() or ord(max(word)) < 0x250 for word in words)
    if words and latin < len(words) / 2:
        return False
    foreign = sum(word in _FOREIGN for word in words)
    return foreign == 0 or foreign < sum(word in _ENGLISH for word in words)
