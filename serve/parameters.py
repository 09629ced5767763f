"""What this server does with each parameter of OpenAI's and vLLM's chat completions that it does not implement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve.errors import ApiError

IGNORED = (
    "metadata",
    "priority",
    "prompt_cache_key",
    "prompt_cache_retention",
    "request_id",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)
"""Parameters of a chat that never change an answer."""

INERT: dict[str, tuple[Any, ...]] = {
    # OpenAI's
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "verbosity": (),
    "web_search_options": (),
    # vLLM's
    "add_generation_prompt": (True,),
    "add_special_tokens": (False,),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "best_of": (1,),
    "cache_salt": (),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "continue_final_message": (False,),
    "documents": ([],),
    "echo": (False,),
    "guided_decoding_backend": (),
    "guided_whitespace_pattern": (),
    "ignore_eos": (False,),
    "include_reasoning": (True, False),
    "include_stop_str_in_output": (False,),
    "kv_transfer_params": (),
    "length_penalty": (1,),
    "logits_processors": ([],),
    "media_io_kwargs": ({},),
    "min_tokens": (0,),
    "mm_processor_kwargs": ({},),
    "prompt_logprobs": (0,),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True, False),
    "stop_token_ids": ([],),
    "structural_tag": (),
    "truncate_prompt_tokens": (),
    "use_beam_search": (False,),
    "vllm_xargs": ({},),
}
"""Parameters of a chat that would change an answer, and the values that change nothing."""

PART_INERT: dict[str, tuple[Any, ...]] = {
    # Clients send an assistant's message back as they got it.
    "refusal": ("",),
    "annotations": ([],),
    "audio": (),
    "function_call": (),
    "tool_calls": ([],),
    "continuous_usage_stats": (False,),
    "include_obfuscation": (True, False),
    # A picture is always looked at in the size that the model takes.
    "detail": ("auto", "low", "high", "original"),
}
"""The same of fields inside of a message or of `stream_options`."""


def refuse(extra: Mapping[str, Any] | None, inert: Mapping[str, tuple[Any, ...]], where: str = "") -> None:
    """Refuse fields that would change the answer; null stands for an absent field.

    Args:
        extra: Fields that are not implemented.
        inert: Of those that are known, the values that change nothing.
        where: Comes before the names, such as ``messages.0.``.

    Raises:
        ApiError: There is one.
    """
    for name, value in (extra or {}).items():
        if value is None or any(_same(value, other) for other in inert.get(name, ())):
            continue
        place = f"{where}{name[:80]}"
        known = "not supported by" if name in inert else "not known to"
        raise ApiError(400, f"{place} is {known} this server.", place, "unsupported_parameter")


def _same(value: Any, other: Any) -> bool:
    """Whether two values are the same in JSON, where 0 and false are not."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)
