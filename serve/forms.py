"""What an answer has to be: OpenAI's `response_format`, vLLM's `structured_outputs` and `guided_*`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.chat import Form
from serve.errors import ApiError
from serve.parameters import refuse

OPTIONS = 64
"""Most options of a choice."""
OPTION_LETTERS = 512
ANY_OBJECT = '{"type": "object"}'
INERT: dict[str, tuple[Any, ...]] = {"description": (), "strict": (True, False), "disable_fallback": (True, False)}

Option = Annotated[str, Field(min_length=1, max_length=OPTION_LETTERS)]
Options = Annotated[list[Option], Field(min_length=1, max_length=OPTIONS)]


class _Part(BaseModel):
    """Fields that are not known are kept, to be refused by name."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})


class JsonSchema(_Part):
    """A schema with a name."""

    name: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(_Part):
    """OpenAI's: a text, any JSON object, or JSON as a schema has it."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(_Part):
    """vLLM's: one of these."""

    choice: Options | None = None
    json_: dict[str, Any] | str | None = Field(default=None, alias="json")
    regex: str | None = None
    grammar: str | None = None
    json_object: bool | None = None


class Structured(BaseModel):
    """The fields of a request that say what its answer has to be; at most one may."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_choice: Options | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_grammar: str | None = None

    def form(self) -> tuple[Form | None, list[str]]:
        """What the answer has to be, and the options that it is one of.

        Raises:
            ApiError: There are several, or one is not known.
        """
        found = [*self._of_openai(), *self._of_vllm()]
        options = [
            (name, values)
            for name, values in (
                ("guided_choice", self.guided_choice),
                ("structured_outputs", self.structured_outputs and self.structured_outputs.choice),
            )
            if values
        ]
        if len(found) + len(options) > 1:
            names = [one.field for one in found] + [name for name, _ in options]
            raise ApiError(400, f"{names[0]} and {names[1]}: an answer has one form.", names[1])
        return (found[0] if found else None), (options[0][1] if options else [])

    def _of_openai(self) -> list[Form]:
        given = self.response_format
        if given is None:
            return []
        refuse(given.model_extra, INERT, "response_format.")
        if given.type == "text":
            return []
        if given.type == "json_object":
            return [Form("json", ANY_OBJECT, "response_format")]
        if given.json_schema is None or given.json_schema.schema_ is None:
            raise ApiError(400, "response_format: json_schema.schema is missing.", "response_format")
        refuse(given.json_schema.model_extra, INERT, "response_format.json_schema.")
        return [Form("json", json.dumps(given.json_schema.schema_), "response_format")]

    def _of_vllm(self) -> list[Form]:
        given = self.structured_outputs or StructuredOutputs()
        refuse(given.model_extra, INERT, "structured_outputs.")
        written: list[tuple[Literal["json", "regex", "grammar"], str, dict[str, Any] | str | None]] = [
            ("json", "guided_json", self.guided_json),
            ("regex", "guided_regex", self.guided_regex),
            ("grammar", "guided_grammar", self.guided_grammar),
            ("json", "structured_outputs", given.json_),
            ("json", "structured_outputs", ANY_OBJECT if given.json_object else None),
            ("regex", "structured_outputs", given.regex),
            ("grammar", "structured_outputs", given.grammar),
        ]
        return [
            Form(kind, text if isinstance(text, str) else json.dumps(text), name)
            for kind, name, text in written
            if text is not None
        ]
