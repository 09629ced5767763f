"""From videos and text to model inputs.

Shapes: B prompts, L tokens, V videos, T frames that the model sees of each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Unpack, cast

import torch
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.processing_utils import TextKwargs
from transformers.video_processing_utils import VideoProcessorMixin

from favchat.model.chat_template import SYSTEM, VIDEO_TOKEN, with_videos
from favchat.model.processing_kwargs import FaVChatProcessorKwargs
from favchat.model.video_processing_favchat import (
    PIXELS,
    FaceClip,
    FaVChatVideoProcessor,
    list_of_videos,
)
from favchat.video.specification import ClipSpecification

__all__ = ["FaVChatProcessor", "FaceClip", "PIXELS", "SYSTEM", "VIDEO_TOKEN"]

FRAME_TOKEN = "<|frame|>"  # noqa: S105 - one token of the general stream
FACE_TOKEN = "<|face|>"  # noqa: S105 - one token of the face stream
ATTRIBUTE_TOKEN = "<|attribute|>"  # noqa: S105 - one of the two tokens of an attribute

IGNORED = -100
QUESTION = ("question_ids", "question_mask")
PARTS = ("video", "text")
"""Types of the parts of a message."""


class FaVChatProcessor(ProcessorMixin):
    """Tokenises chats, expands each video to its placeholders, and has the videos read.

    Texts are padded on the left unless `padding_side` or the tokenizer says otherwise, and come as tensors unless
    `return_tensors` does.

    Args:
        tokenizer: The language model's tokenizer, with the four tokens of a video added.
        video_processor: Reads the videos.
        chat_template: Of messages with videos; by default the tokenizer's, with what it needs for videos before it.
        vision_grid: General tokens a frame: `vision_grid` squared.
        face_grid: Face tokens a frame: `face_grid` squared.
        route_by_question: Whether the model's router reads what is asked about each video.
        attributes: Names of the attributes that the model was taught; each has two tokens after the frames'.
    """

    tokenizer: PreTrainedTokenizerBase
    video_processor: FaVChatVideoProcessor
    valid_processor_kwargs = FaVChatProcessorKwargs
    text_kwargs = cast(TextKwargs, {"padding": True, "add_special_tokens": False, "return_tensors": "pt"})
    video_token = VIDEO_TOKEN

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None = None,
        video_processor: FaVChatVideoProcessor | None = None,
        chat_template: str | None = None,
        vision_grid: int = 2,
        face_grid: int = 2,
        route_by_question: bool = False,
        attributes: Sequence[str] = (),
        **kwargs: Any,
    ):
        self.vision_grid, self.face_grid = vision_grid, face_grid
        self.route_by_question, self.attributes = route_by_question, list(attributes)
        if chat_template is None and getattr(tokenizer, "chat_template", None):
            chat_template = with_videos(cast(PreTrainedTokenizerBase, tokenizer).chat_template)
        if tokenizer is not None:
            tokenizer.padding_side = "left"
        super().__init__(tokenizer, video_processor or FaVChatVideoProcessor(), chat_template=chat_template, **kwargs)

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """As transformers does it, whose own look-up of video processors needs torchvision, which this one does not."""
        if argument_name != "video_processor":
            return super().check_argument_for_proper_class(argument_name, argument)
        if not isinstance(argument, VideoProcessorMixin):
            raise TypeError(f"video_processor is a {type(argument).__name__}; it must be a FaVChatVideoProcessor")
        return VideoProcessorMixin

    @classmethod
    def _get_arguments_from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        processor_dict: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """The tokenizer and the video processor, whose settings version 0.1 kept among the processor's own."""
        subfolder = kwargs.pop("subfolder", "")
        tokenizer = cls._load_tokenizer_from_pretrained(
            "tokenizer", pretrained_model_name_or_path, subfolder=subfolder, **kwargs
        )
        saved = processor_dict or {}
        settings = saved.get("video_processor") or saved
        settings = {name: settings[name] for name in VIDEO_SETTINGS if name in settings}
        given = {name: kwargs[name] for name in VIDEO_SETTINGS if name in kwargs}
        return [tokenizer, FaVChatVideoProcessor(**settings | given)]

    @classmethod
    def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As transformers does it; the chat template that version 0.1 saved is the language model's own."""
        if "video_processor" not in processor_dict:
            template = processor_dict.get("chat_template")
            processor_dict = processor_dict | ({"chat_template": with_videos(template)} if template else {})
        return super().from_args_and_dict(args, processor_dict, **kwargs)

    @property
    def num_frames(self) -> int:
        """Frames T that the model sees of a clip."""
        return self.video_processor.num_frames

    @num_frames.setter
    def num_frames(self, value: int) -> None:
        self.video_processor.num_frames = value

    @property
    def clip_specification(self) -> ClipSpecification:
        """How a video becomes a clip that this model sees."""
        return self.video_processor.clip_specification

    @clip_specification.setter
    def clip_specification(self, specification: ClipSpecification) -> None:
        self.video_processor.clip_specification = specification

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that :meth:`__call__` makes of texts and videos."""
        question = QUESTION if self.route_by_question else ()
        return ["input_ids", "attention_mask", *self.video_processor.model_input_names, *question]

    def __call__(
        self,
        images: None = None,
        text: str | Sequence[str] | None = None,
        videos: Any = None,
        audio: None = None,
        questions: Sequence[str] | None = None,
        answers: Sequence[str] | None = None,
        **kwargs: Unpack[FaVChatProcessorKwargs],  # type: ignore[misc]
    ) -> BatchFeature:
        """Make a batch.

        Args:
            images: Not taken.
            text: B prompts, as :meth:`prompt` or `apply_chat_template` give them; each `<|video|>` takes the next
                video.
            videos: V videos in reading order, each of any kind that :meth:`FaVChatVideoProcessor.preprocess` takes.
            audio: Not taken.
            questions: What is asked about each video, V strings, as :meth:`questions_of` gives them; only a model with
                `route_by_question` reads them, for others they are left out.
            answers: B answers to learn; they are appended with the end-of-turn token, only they carry labels, and the
                batch is padded on the right.
            **kwargs: For the tokenizer and the video processor, such as `padding`, `return_tensors` and
                `video_metadata`.

        Returns:
            `input_ids`, `attention_mask` `(B, L)`, and with videos the tensors of
            :meth:`FaVChatVideoProcessor.inputs`; with answers also `labels` `(B, L)`; for a router that reads them
            `question_ids`, `question_mask` `(V, Lq)`.

        Raises:
            ValueError: The prompts hold another number of videos than there are videos or questions, or a router that
                reads the questions gets none.
            VideoError: A video cannot be read, or shows no face.
        """
        given = dict(kwargs)
        if answers is not None:  # they have to follow their prompts before anything is padded
            given |= {"padding": False, "return_tensors": None}
        videos = None if videos is None else list_of_videos(videos) or None
        batch = super().__call__(images=images, text=text, videos=videos, audio=audio, **given)
        if answers is not None:
            ends = [self.answer_ids(answer) for answer in answers]
            pairs = list(zip(batch["input_ids"], ends, strict=True))
            batch.update(self._pad([prompt + end for prompt, end in pairs]))
            labels = [[IGNORED] * len(prompt) + end for prompt, end in pairs]
            batch["labels"] = self._pad(labels, value=IGNORED)["input_ids"]
        if videos and self.route_by_question:
            batch.update(self.question_inputs(questions, len(videos)))
        return batch

    def validate_inputs(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, **kwargs: Any
    ) -> None:
        """See that there are texts or videos and nothing else, and as many videos as the texts hold.

        Raises:
            ValueError: It is not so.
        """
        for name, value in (("images", images), ("audio", audio)):
            if value is not None:
                raise ValueError(f"{name}: FaVChat reads videos and text alone; give text=... and videos=...")
        if text is None:
            if videos is None:
                raise ValueError("give text or videos")
            return
        if not all(isinstance(prompt, str) for prompt in text):
            raise ValueError("text must be a string or a list of strings")
        wanted, found = sum(prompt.count(VIDEO_TOKEN) for prompt in text), len(videos or [])
        if wanted != found:
            raise ValueError(f"the prompts hold {wanted} {VIDEO_TOKEN} but {found} video(s) were given")

    def _process_videos(self, videos: Any, **kwargs: Any) -> tuple[BatchFeature, list[str]]:
        processed = self.video_processor(videos, **kwargs)
        return processed, [self.replace_video_token(processed, index) for index in range(len(videos))]

    def replace_video_token(self, video_inputs: Mapping[str, Any], video_idx: int, **kwargs: Any) -> str:
        """What stands for a video's tokens in a prompt."""
        return self._placeholders(len(video_inputs["frame_times"][video_idx]))

    def _check_special_mm_tokens(self, text: list[str], text_inputs: Any, modalities: list[str]) -> None:
        """Raise an error where `truncation` has cut off some of a video's tokens."""
        tokens = (FRAME_TOKEN, FACE_TOKEN, ATTRIBUTE_TOKEN)
        ids = self.tokenizer.convert_tokens_to_ids(list(tokens))
        for written, row in zip(text, text_inputs["input_ids"], strict=True):
            kept = list(row if isinstance(row, list) else row.tolist())
            if any(written.count(token) != kept.count(one) for token, one in zip(tokens, ids, strict=True)):
                raise ValueError(
                    f"truncation cuts off tokens of a video, which takes {self.num_visual_tokens}; raise max_length"
                )

    @property
    def video_token_ids(self) -> list[int]:
        """The ids of a video's tokens."""
        return sorted(self.placeholder_ids)

    def _normalize_conversations(self, conversation: Any) -> tuple[list, bool]:
        conversations, is_batched = super()._normalize_conversations(conversation)
        for messages in conversations:
            for message in messages:
                content = message.get("content")
                for part in content if isinstance(content, (list, tuple)) else ():
                    if part.get("type") not in PARTS:
                        raise ValueError(f"a message part has type '{part.get('type')}'; there are 'video' and 'text'")
        return conversations, is_batched

    def _multimodal_inputs_from_conversations(self, conversations: list, *args: Any, **kwargs: Any) -> Any:
        images, videos, audio, more = super()._multimodal_inputs_from_conversations(conversations, *args, **kwargs)
        if self.route_by_question:
            more = {**more, "questions": [text for chat in conversations for text in self.questions_of(chat)]}
        return images, videos, audio, more

    def prompt(self, question: str) -> str:
        """The prompt of one question about one video."""
        content = [{"type": "video"}, {"type": "text", "text": question}]
        return self.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def prompt_ids(self, prompt: str) -> list[int]:
        """The token ids of a prompt, each `<|video|>` as the placeholders of its tokens."""
        return self._ids(prompt.replace(VIDEO_TOKEN, self.placeholders))

    @property
    def placeholders(self) -> str:
        """What stands for a video's tokens: frame by frame the general and the face tokens, then the attributes."""
        return self._placeholders(self.num_frames)

    def _placeholders(self, frames: int) -> str:
        frame = FRAME_TOKEN * self.vision_grid**2 + FACE_TOKEN * self.face_grid**2
        return frame * frames + ATTRIBUTE_TOKEN * (2 * len(self.attributes))

    @property
    def num_visual_tokens(self) -> int:
        """Tokens of a video."""
        return self.num_frames * (self.vision_grid**2 + self.face_grid**2) + 2 * len(self.attributes)

    @property
    def placeholder_ids(self) -> set[int]:
        """The ids that :attr:`placeholders` is made of."""
        return set(self.tokenizer.convert_tokens_to_ids([FRAME_TOKEN, FACE_TOKEN, ATTRIBUTE_TOKEN]))

    def answer_ids(self, answer: str) -> list[int]:
        """The token ids of an answer to learn, with the token that ends it."""
        return [*self._ids(answer), cast(int, self.tokenizer.eos_token_id)]

    @staticmethod
    def questions_of(conversation: Sequence[dict[str, Any]]) -> list[str]:
        """What is asked about each video of a chat: the text of the message that holds it.

        Args:
            conversation: Messages with `role` and `content`, the content a string or a list of `{"type": "video"}` and
                `{"type": "text", "text": ...}` parts.

        Returns:
            V strings, in reading order.
        """
        found = []
        for message in conversation:
            parts = message.get("content") or ""
            text = parts if isinstance(parts, str) else "\n".join(part.get("text", VIDEO_TOKEN) for part in parts)
            found += [text.replace(VIDEO_TOKEN, "").strip()] * text.count(VIDEO_TOKEN)
        return found

    def video_inputs(self, clips: Sequence[FaceClip | Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The tensors of V clips, see :meth:`FaVChatVideoProcessor.inputs`."""
        return self.video_processor.inputs(clips)

    def question_inputs(self, questions: Sequence[str] | None, videos: int) -> dict[str, torch.Tensor]:
        """`question_ids` and `question_mask` `(V, Lq)` of what is asked about each of V videos.

        Raises:
            ValueError: There are not as many questions as videos.
        """
        if questions is None:
            raise ValueError("this model routes by the question: give `questions`, one for each video")
        if len(questions) != videos:
            raise ValueError(f"there are {videos} video(s) but {len(questions)} question(s)")
        padded = self._pad([self._ids(question) for question in questions])
        return {"question_ids": padded["input_ids"], "question_mask": padded["attention_mask"]}

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _pad(self, rows: list[list[int]], *, value: int | None = None) -> dict[str, torch.Tensor]:
        """Rows padded on the right."""
        length = max(len(row) for row in rows)
        filler = cast(int, self.tokenizer.pad_token_id) if value is None else value
        ids = torch.full((len(rows), length), filler)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}


VIDEO_SETTINGS = (
    "num_frames",
    "image_size",
    "image_mean",
    "image_std",
    "face_size",
    "face_mean",
    "face_std",
    "clip",
)
"""Settings of the video processor."""
