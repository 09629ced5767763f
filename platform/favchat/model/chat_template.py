"""What stands in front of a language model's own chat template, so that it takes videos.

Most templates know messages of plain text. A piece of Jinja before them writes the parts of a message as one text, each
video as a token of its own, and begins a chat that has no system message with the one of training. It lies in the
template itself: whoever renders it, such as a trainer or another server, then writes the same prompt.
"""

from __future__ import annotations

VIDEO_TOKEN = "<|video|>"  # noqa: S105 - what stands for a whole video in a chat
SYSTEM = "You describe faces in videos."

PARTS = (
    "{%- set chat = namespace(messages=[]) -%}"
    "{%- if not messages or messages[0]['role'] != 'system' -%}"
    "{%- set chat.messages = [{'role': 'system', 'content': '" + SYSTEM + "'}] -%}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['content'] is string -%}"
    "{%- set chat.messages = chat.messages + [message] -%}"
    "{%- else -%}"
    "{%- set text = namespace(parts=[]) -%}"
    "{%- for part in message['content'] -%}"
    "{%- set text.parts = text.parts + ['" + VIDEO_TOKEN + "' if part['type'] == 'video' else part['text']] -%}"
    "{%- endfor -%}"
    "{%- set chat.messages = chat.messages + [dict(message, content=text.parts | join('\\n'))] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- set messages = chat.messages -%}"
    "\n"
)


def with_videos(template: str) -> str:
    """A chat template that takes messages of videos and texts; one that does stays as it is."""
    return template if template.startswith(PARTS) else PARTS + template
