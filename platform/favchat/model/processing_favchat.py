"""From clips and text to model inputs.

Shapes: B prompts, L tokens, V videos, T frames that the model sees of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from favchat.video.align import face_geometry
from favchat.video.motion import motion_features
from favchat.video.specification import ClipSpecification

VIDEO_TOKEN = "<|video|>"  # noqa: S105 - what stands for a whole video in a chat
FRAME_TOKEN = "<|frame|>"  # noqa: S105 - one token of the general stream
FACE_TOKEN = "<|face|>"  # noqa: S105 - one token of the face stream
ATTRIBUTE_TOKEN = "<|attribute|>"  # noqa: S105 - one of the two tokens of an attribute


class FaceClip(Protocol):
    """What the processor needs of a clip; :class:`favchat.video.ProcessedClip` has it."""

    @property
    def frames(self) -> np.ndarray:
        """`(n, H, W, 3)` uint8 RGB, or only the ones that :func:`picked_frames` picks of n for this model."""

    @property
    def faces(self) -> np.ndarray:
        """`(n, s, s, 3)` uint8 RGB, aligned; as many as frames."""

    @property
    def timestamps(self) -> np.ndarray:
        """`(n,)` seconds since the clip's start."""

    @property
    def landmarks(self) -> np.ndarray:
        """`(n, 5, 2)` normalised to 0..1."""

    @property
    def visible(self) -> np.ndarray:
        """`(n,)` bool."""


class FaVChatProcessor(ProcessorMixin):
    """Tokenises chats, expands each video to its placeholders, and makes the encoders' pixels.

    Args:
        tokenizer: The language model's tokenizer, with the three tokens of this module added.
        chat_template: Overrides the tokenizer's chat template.
        num_frames: Frames T that the model sees of a clip, picked uniformly (a shorter clip repeats frames).
        vision_grid: General tokens a frame: `vision_grid` squared.
        face_grid: Face tokens a frame: `face_grid` squared.
        image_size: Side in pixels of the general encoder's input; frames are scaled to fit and padded.
        image_mean: Channel means of the general encoder, of pixels in 0..1.
        image_std: Channel deviations of the general encoder.
        face_size: Side in pixels of the face encoder's input.
        face_mean: Channel means of the face encoder.
        face_std: Channel deviations of the face encoder.
        route_by_question: Whether the model's router reads what is asked about each video.
        attributes: Names of the attributes that the model was taught; each has two tokens after the frames'.
        clip: The clip specification of the corpus that the model was trained on, as
            :meth:`favchat.video.ClipSpecification.to_dict` gives it; by default that of the default settings.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None = None,
        chat_template: str | None = None,
        num_frames: int = 8,
        vision_grid: int = 2,
        face_grid: int = 2,
        image_size: int = 224,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        face_size: int = 160,
        face_mean: Sequence[float] = (0.0, 0.0, 0.0),
        face_std: Sequence[float] = (1.0, 1.0, 1.0),
        route_by_question: bool = False,
        attributes: Sequence[str] = (),
        clip: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ):
        self.num_frames = num_frames
        self.vision_grid, self.face_grid = vision_grid, face_grid
        self.image_size, self.image_mean, self.image_std = image_size, list(image_mean), list(image_std)
        self.face_size, self.face_mean, self.face_std = face_size, list(face_mean), list(face_std)
        self.route_by_question, self.attributes = route_by_question, list(attributes)
        self.clip = ClipSpecification.from_dict(clip or {}).to_dict()
        super().__init__(tokenizer, chat_template=chat_template, **kwargs)

    @property
    def clip_specification(self) -> ClipSpecification:
        """How a video becomes a clip that this model sees."""
        return ClipSpecification.from_dict(self.clip)

    @clip_specification.setter
    def clip_specification(self, specification: ClipSpecification) -> None:
        self.clip = specification.to_dict()

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that :meth:`__call__` may return."""
        return ["input_ids", "attention_mask", "labels", *PIXELS, *FEATURES, *TRACK_INPUTS, *QUESTION]

    def __call__(
        self,
        text: str | Sequence[str],
        clips: Sequence[FaceClip | Mapping[str, torch.Tensor]] = (),
        *,
        questions: Sequence[str] | None = None,
        answers: Sequence[str] | None = None,
    ) -> BatchFeature:
        """Make a batch.

        Args:
            text: B prompts, as :meth:`prompt` or `apply_chat_template` give them; each `<|video|>` takes the next clip.
            clips: V clips in reading order, or what :meth:`video_inputs` takes in their place.
            questions: What is asked about each clip, V strings, as :meth:`questions` gives them; only a model with
                `route_by_question` reads them, for others they are left out.
            answers: B answers to learn; they are appended with the end-of-turn token, and only they carry labels.

        Returns:
            `input_ids`, `attention_mask` `(B, L)`, padded on the left for generation and on the right for training,
            and with clips the tensors of :meth:`video_inputs`; with answers also `labels` `(B, L)`; for a router that
            reads them `question_ids`, `question_mask` `(V, Lq)`.

        Raises:
            ValueError: The prompts hold another number of videos than there are clips or questions, or a router that
                reads the questions gets none.
        """
        prompts = [text] if isinstance(text, str) else list(text)
        videos = sum(prompt.count(VIDEO_TOKEN) for prompt in prompts)
        if videos != len(clips):
            raise ValueError(f"the prompts hold {videos} {VIDEO_TOKEN} but {len(clips)} clip(s) were given")
        rows = [self.prompt_ids(prompt) for prompt in prompts]
        batch: dict[str, Any] = {}
        if answers is None:
            batch.update(self._pad(rows, left=True))
        else:
            ends = [self.answer_ids(answer) for answer in answers]
            pairs = list(zip(rows, ends, strict=True))
            batch.update(self._pad([prompt + end for prompt, end in pairs], left=False))
            labels = [[IGNORED] * len(prompt) + end for prompt, end in pairs]
            batch["labels"] = self._pad(labels, left=False, value=IGNORED)["input_ids"]
        if clips:
            batch.update(self.video_inputs(clips))
            if self.route_by_question:
                batch.update(self.question_inputs(questions, len(clips)))
        return BatchFeature(batch)

    def apply_chat_template(self, conversation: Sequence[dict[str, Any]], **kwargs: Any) -> str:
        """Write a chat as a prompt with the tokenizer's template.

        Args:
            conversation: Messages with `role` and `content`, the content a string or a list of `{"type": "video"}` and
                `{"type": "text", "text": ...}` parts.
            **kwargs: For the tokenizer's template, such as `add_generation_prompt=True`.

        Raises:
            ValueError: A part has another type.
        """
        flat = [{**message, "content": _flatten(message["content"])} for message in conversation]
        template = self.chat_template or self.tokenizer.chat_template
        return self.tokenizer.apply_chat_template(flat, chat_template=template, tokenize=False, **kwargs)

    def prompt(self, question: str) -> str:
        """The prompt of one question about one video."""
        content = [{"type": "video"}, {"type": "text", "text": question}]
        conversation: list[dict[str, Any]] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": content},
        ]
        return self.apply_chat_template(conversation, add_generation_prompt=True)

    def prompt_ids(self, prompt: str) -> list[int]:
        """The token ids of a prompt, each `<|video|>` as the placeholders of its tokens."""
        return self._ids(prompt.replace(VIDEO_TOKEN, self.placeholders))

    @property
    def placeholders(self) -> str:
        """What stands for a video's tokens: frame by frame the general and the face tokens, then the attributes."""
        frame = FRAME_TOKEN * self.vision_grid**2 + FACE_TOKEN * self.face_grid**2
        return frame * self.num_frames + ATTRIBUTE_TOKEN * (2 * len(self.attributes))

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
        return [*self._ids(answer), self.tokenizer.eos_token_id]

    @staticmethod
    def questions(conversation: Sequence[dict[str, Any]]) -> list[str]:
        """What is asked about each video of a chat: the text of the message that holds it.

        Args:
            conversation: As for :meth:`apply_chat_template`.

        Returns:
            V strings, in reading order.
        """
        found = []
        for message in conversation:
            text = _flatten(message["content"])
            found += [text.replace(VIDEO_TOKEN, "").strip()] * text.count(VIDEO_TOKEN)
        return found

    def video_inputs(self, clips: Sequence[FaceClip | Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The tensors of V clips.

        Args:
            clips: Clips; or, of each, tensors that were made before: `vision_features` `(T, P, C)` and `face_features`
                `(T, Q, C)`, of which :meth:`FaVChatModel.encode_frames` gives one row a video, and `face_visible`,
                `frame_times`, `face_geometry` and `face_motion` as this method gives them. Not both kinds at once.

        Returns:
            `face_visible` `(V, T)` bool, `frame_times` `(V, T)` float32 seconds, `face_geometry` `(V, T, 4)` and
            `face_motion` `(V, M)` float32; of clips also `pixel_values_videos` `(V, T, 3, image_size, image_size)` and
            `pixel_values_faces` `(V, T, 3, face_size, face_size)`, float32, of tensors their features.

        Raises:
            ValueError: Clips and features are mixed, or a tensor is missing.
        """
        encoded = [clip for clip in clips if isinstance(clip, Mapping)]
        if not encoded:
            items = [self._video(clip) for clip in clips if not isinstance(clip, Mapping)]
            return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}
        if len(encoded) < len(clips):
            raise ValueError(f"{len(encoded)} of {len(clips)} clips come as features; give all or none as features")
        names = [*FEATURES, *TRACK_INPUTS]
        missing = [name for name in names for item in encoded if name not in item]
        if missing:
            raise ValueError(f"a clip given as features has no {missing[0]}; it needs {', '.join(names)}")
        return {name: torch.stack([item[name] for item in encoded]) for name in names}

    def _video(self, clip: FaceClip) -> dict[str, np.ndarray]:
        picked = picked_frames(len(clip.visible), self.num_frames)
        # Of a clip read from a corpus the pictures that no model sees were never decoded.
        pictures = np.arange(len(picked)) if len(clip.frames) != len(clip.visible) else picked
        height, width = clip.frames.shape[1:3]
        tracked = np.asarray(clip.visible, dtype=bool)
        visible = tracked[picked]
        geometry = np.zeros((len(picked), 4), dtype=np.float32)
        for index in np.flatnonzero(visible):  # where no face is visible there are no landmarks either
            geometry[index] = face_geometry(clip.landmarks[picked[index]] * (width, height), width, height)
        frames = [_letterbox(frame, self.image_size) for frame in clip.frames[pictures]]
        faces = [
            cv2.resize(face, (self.face_size, self.face_size), interpolation=cv2.INTER_AREA)
            for face in clip.faces[pictures]
        ]
        return {
            "pixel_values_videos": _normalise(np.stack(frames), self.image_mean, self.image_std),
            "pixel_values_faces": _normalise(np.stack(faces), self.face_mean, self.face_std),
            "face_visible": visible,
            "frame_times": np.asarray(clip.timestamps, dtype=np.float32)[picked],
            "face_geometry": geometry,
            "face_motion": motion_features(clip.landmarks, tracked, clip.timestamps, width, height),
        }

    def question_inputs(self, questions: Sequence[str] | None, videos: int) -> dict[str, torch.Tensor]:
        """`question_ids` and `question_mask` `(V, Lq)` of what is asked about each of V videos.

        Raises:
            ValueError: There are not as many questions as videos.
        """
        if questions is None:
            raise ValueError("this model routes by the question: give `questions`, one for each clip")
        if len(questions) != videos:
            raise ValueError(f"there are {videos} clip(s) but {len(questions)} question(s)")
        padded = self._pad([self._ids(question) for question in questions], left=False)
        return {"question_ids": padded["input_ids"], "question_mask": padded["attention_mask"]}

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _pad(self, rows: list[list[int]], *, left: bool, value: int | None = None) -> dict[str, torch.Tensor]:
        length = max(len(row) for row in rows)
        filler = self.tokenizer.pad_token_id if value is None else value
        ids = torch.full((len(rows), length), filler)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            place = slice(length - len(row), length) if left else slice(0, len(row))
            ids[index, place] = torch.tensor(row)
            mask[index, place] = 1
        return {"input_ids": ids, "attention_mask": mask}


def picked_frames(count: int, wanted: int) -> np.ndarray:
    """Which of a clip's `count` frames a model sees that takes `wanted` of them, `(wanted,)`; those, all of them.

    They are the middles of equal parts: a lone frame is the middle one, and the ends, often a cut, are left out.
    """
    return ((np.arange(wanted) + 0.5) * count / wanted).astype(int)


IGNORED = -100
SYSTEM = "You describe faces in videos."
PIXELS = ("pixel_values_videos", "pixel_values_faces")
FEATURES = ("vision_features", "face_features")
TRACK_INPUTS = ("face_visible", "frame_times", "face_geometry", "face_motion")
QUESTION = ("question_ids", "question_mask")


def _flatten(content: str | Sequence[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    words = []
    for part in content:
        if part["type"] == "video":
            words.append(VIDEO_TOKEN)
        elif part["type"] == "text":
            words.append(part["text"])
        else:
            raise ValueError(f"a message part has type '{part['type']}'; there are 'video' and 'text'")
    return "\n".join(words)


def _letterbox(image: np.ndarray, side: int) -> np.ndarray:
    """Scale an image to fit a square and centre it on mid grey."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    square = np.full((side, side, 3), 127, dtype=np.uint8)
    top, left = (side - new_height) // 2, (side - new_width) // 2
    resized = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    square[top : top + new_height, left : left + new_width] = resized
    return square


def _normalise(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """`(T, h, w, 3)` uint8 to `(T, 3, h, w)` float32."""
    scaled = (images.astype(np.float32) / 255.0 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
