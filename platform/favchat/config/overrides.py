"""A ``section.key=value`` of the command line: the value is what was typed, read as the type of its setting."""

from __future__ import annotations

import json
import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

_WORDS = {"true": True, "false": False, "null": None}


def read_value(text: str, section: type[BaseModel], key: str) -> Any:
    """The value of a setting, as a word of the command line gives it.

    Text, paths and choices are taken to the letter: ``0123``, ``on``, ``12:30.mp4`` and ``a #b`` stay what they are.
    Numbers, yes and no are read as such; ``null`` empties a setting that may be empty. Lists and mappings are YAML,
    and what is inside follows the same rules.

    Args:
        text: What stands behind ``=``.
        section: The schema.
        key: Dotted key of the setting; one that the schema does not know gets the value that it looks like.

    Raises:
        ValueError: A list or mapping that is no YAML, or has a key twice.
    """
    return _read(text, _annotation(section, key.split(".")))


def escaped(value: Any) -> Any:
    """The value with ``${`` written so that OmegaConf takes it for text and looks nothing up."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return {key: escaped(item) for key, item in value.items()} if isinstance(value, dict) else value


def _read(text: str, annotation: Any) -> Any:
    options = _options(annotation)
    if text == "null" and type(None) in options:
        return None
    if str in options:
        return text
    if _structured(options) or (Any in options and text.lstrip()[:1] in ("[", "{")):
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise ValueError(f"no YAML: {error}") from error
        return "" if node is None else _from_node(node, annotation)
    return _scalar(text)


def _scalar(text: str) -> Any:
    """Yes, no, nothing or a number where the text plainly is one, else the text."""
    word = text.strip()
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    try:
        value = json.loads(word)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value


def _from_node(node: yaml.Node, annotation: Any) -> Any:
    options = _options(annotation)
    if isinstance(node, yaml.SequenceNode):
        inner = next((_argument(option, 0) for option in options if get_origin(option) is list), Any)
        return [_from_node(item, inner) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for name, value in node.value:
            key = str(name.value)
            if key in found:
                raise ValueError(f"'{key}' is given twice")
            found[key] = _from_node(value, _below(options, key))
        return found
    assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - YAML has no fourth kind
    if node.style in ("'", '"'):
        return node.value
    if str not in options:
        return _scalar(node.value)
    return None if node.value == "null" and type(None) in options else node.value


def _annotation(section: type[BaseModel], parts: list[str]) -> Any:
    annotation: Any = section
    for part in parts:
        annotation = _below(_options(annotation), part)
    return annotation


def _below(options: list[Any], part: str) -> Any:
    """The type of a section's field, a mapping's value or a list's item; ``Any`` where the schema knows none."""
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel) and part in option.model_fields:
            return option.model_fields[part].annotation
        if get_origin(option) is dict:
            return _argument(option, 1)
        if get_origin(option) is list and part.isdigit():
            return _argument(option, 0)
    return Any


def _options(annotation: Any) -> list[Any]:
    """The members of a union, without their constraints; a choice of words is text."""
    if get_origin(annotation) in (Union, UnionType):
        return [option for part in get_args(annotation) for option in _options(part)]
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return [type(word) for word in get_args(annotation)]
    return [annotation]


def _structured(options: list[Any]) -> bool:
    return any(get_origin(o) in (list, dict) or (isinstance(o, type) and issubclass(o, BaseModel)) for o in options)


def _argument(option: Any, place: int) -> Any:
    arguments = get_args(option)
    return arguments[place] if len(arguments) > place else Any
