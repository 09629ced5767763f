"""Evaluation of a local checkpoint: likelihoods of options, free answers, and visual tokens.

The only file of the evaluation that depends on the model. A clip is encoded once, and all of its questions form one
sequence: the common prefix (system prompt, visual tokens), then each question, then each question's options. A tree
attention mask lets every token attend only to the tokens that would precede it if its question were asked alone. This
is exact, and needs no padding and no copies of a cache.

Shapes: B sequences, L tokens of a sequence, V videos, K options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.asking.question_text import asked
from favchat.evaluation.asking.score_answers import option_probabilities
from favchat.model.answers_by_score import is_whole
from favchat.model.generation import starts_of
from favchat.training.batches.samples import StoredClip
from favchat.training.stage.precision import cast_frozen
from favchat.video.mouth import MOUTH_FEATURES

MAX_TOKENS = 768
"""Longest sequence of questions about one clip; more questions make another one."""
MAX_ANSWERS = 32
"""Free answers that are written at once."""
_NOBODY = -1


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihoods of the K options of one question."""

    log_likelihoods: list[float]
    """log p(option | clip, question), nats, summed over the option's tokens."""
    prior: list[float]
    """The same of a clip without content: grey frames, no face."""
    tokens: list[int]
    """Tokens of each option."""


@dataclass
class _Packed:
    """Questions about one clip, packed into one sequence."""

    ids: list[int]
    positions: list[int]
    nodes: list[int]
    """Which part of the tree each token belongs to: 0 what is common, then a question or an option each."""
    parents: list[int]
    """The part before each part."""
    targets: list[list[list[tuple[int, int]]]] = field(default_factory=list)
    """For each question and option: the token before, and the id whose probability is wanted there."""


class LocalModel:
    """A local model.

    Args:
        name: A model directory, a hub name or a registered model.
        device: Device of the model.
        max_new_tokens: Maximum length of free answers, in tokens.
    """

    def __init__(self, name: str, *, device: str = "cpu", max_new_tokens: int = 128) -> None:
        from favchat.hub.load import load

        model, processor = load(name)
        model.requires_grad_(False)
        for encoder in (model.model.vision_model, model.model.face_model):
            if encoder is not None:
                cast_frozen(encoder, encoder.dtype)  # as in training, whose cached features are used
        self._begin(model.to(device), processor, max_new_tokens)

    @classmethod
    def of(cls, model: Any, processor: Any, *, max_new_tokens: int = 128) -> LocalModel:
        """A model that is in memory already, such as one that is being trained; it is in evaluation mode."""
        made = cls.__new__(cls)
        made._begin(model, processor, max_new_tokens)
        return made

    def _begin(self, model: Any, processor: Any, max_new_tokens: int) -> None:
        self.model, self.processor, self.max_new_tokens = model, processor, max_new_tokens
        self._priors: dict[tuple[str, str, tuple[str, ...]], list[float]] = {}

    @torch.inference_mode()
    def visual(self, clips: Sequence[StoredClip] | Sequence[Mapping[str, Tensor]]) -> Any:
        """Encode V clips, or their encoder features: the adapter's output, see ``AdapterOutput``."""
        # A model that is being trained may be asked under autocast, which is for the model alone.
        with torch.autocast(self.model.device.type, enabled=False):
            inputs = {name: tensor.to(self.model.device) for name, tensor in self.processor.video_inputs(clips).items()}
        return self.model.model.get_video_features(**inputs)

    def features(self, visual: Any) -> list[list[float]]:
        """Pool the visual tokens of each clip: mean general token and mean face token, concatenated, `(2 H,)`.

        Without a face encoder only the mean general token, `(H,)`.
        """
        general = visual.tokens.shape[2] - self.processor.face_grid**2
        parts = [visual.tokens[:, :, :general], visual.tokens[:, :, general:]]
        return torch.cat([part.float().mean(dim=(1, 2)) for part in parts if part.numel()], dim=-1).cpu().tolist()

    @torch.inference_mode()
    def likelihoods(self, visual: Any, items: Sequence[Sequence[EvalQuestion]]) -> list[list[Likelihoods]]:
        """Compute the likelihood of every option of every question.

        Args:
            visual: Of V clips.
            items: The closed questions about each.

        Returns:
            For each clip a list with one entry per question.
        """
        wanted = {_words(item): item for some in items for item in some}
        fresh = [item for words, item in wanted.items() if words not in self._priors]
        if fresh:
            (found,) = self._scored(self.visual([_no_content(self.processor.num_frames)]), [fresh])
            self._priors |= {_words(item): sums for item, (sums, _) in zip(fresh, found, strict=True)}
        return [
            [
                Likelihoods(sums, self._priors[_words(item)], tokens)
                for item, (sums, tokens) in zip(some, scored, strict=True)
            ]
            for some, scored in zip(items, self._scored(visual, items), strict=True)
        ]

    @torch.inference_mode()
    def by_scores(self, visual: Any, items: Sequence[Sequence[EvalQuestion]]) -> list[list[list[float]]]:
        """The probability of every option of questions that the attribute scores decide, see ``score_answers``.

        Args:
            visual: Of V clips.
            items: The questions about each.
        """
        if not any(items):
            return [[] for _ in items]
        values = self.model.model.adapter.attribute_head.probabilities(visual.attribute_logits).tolist()
        scores = [dict(zip(self.processor.attributes, row, strict=True)) for row in values]
        return [[option_probabilities(item, own) for item in some] for some, own in zip(items, scores, strict=True)]

    @torch.inference_mode()
    def first_words(self, visual: Any, video: int, questions: Sequence[str]) -> list[str]:
        """The first token of the greedy answer to each question about one clip, without forced answer starts.

        Args:
            visual: Of V clips.
            video: Index of the clip.
            questions: The questions.
        """
        items = [EvalQuestion("", "", "", "", "", "text", question, options=("?",)) for question in questions]
        words: list[str] = []
        for pack in self._packs(items):
            hidden = self._hidden(visual, video, pack)
            places = [steps[0][0] for options in pack.targets for steps in options]
            logits = self.model.get_output_embeddings()(hidden[torch.tensor(places, device=hidden.device)])
            words += [self.processor.tokenizer.decode([token]).strip() for token in logits.argmax(dim=-1).tolist()]
        return words

    @torch.inference_mode()
    def texts(self, visual: Any, items: Sequence[Sequence[EvalQuestion]], hints: bool = False) -> list[list[str]]:
        """Greedy answers to questions about V encoded clips.

        Args:
            visual: Of V clips.
            items: The questions about each.
            hints: Whether closed questions say how to answer them, see ``question_text.hint``.
        """
        pairs = [(video, item) for video, some in enumerate(items) for item in some]
        parts = [pairs[begin : begin + MAX_ANSWERS] for begin in range(0, len(pairs), MAX_ANSWERS)]
        answers = iter([text for part in parts for text in self._written(visual, part, hints)])
        return [[next(answers) for _ in some] for some in items]

    def _written(self, visual: Any, pairs: Sequence[tuple[int, EvalQuestion]], hints: bool) -> list[str]:
        """Answers to pairs of clip index and question."""
        starts = self._starts(visual, pairs)
        prompts = [
            self._ids(self.processor.prompt(asked(item, hints)) + (start or ""))
            for start, (_, item) in zip(starts, pairs, strict=True)
        ]
        length = max(map(len, prompts))
        ids = torch.full((len(prompts), length), self.processor.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, length - len(prompt) :] = torch.tensor(prompt)
            mask[row, length - len(prompt) :] = 1
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        # Prefill all but the last token: `generate` continues from there, and never sees a video placeholder.
        output = self._decode(
            visual,
            [video for video, _ in pairs],
            ids[:, :-1],
            positions[:, :-1],
            attention_mask=mask[:, :-1],
            use_cache=True,
        )
        written = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=output.past_key_values,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
        )
        answers = self.processor.tokenizer.batch_decode(written[:, length:], skip_special_tokens=True)
        return [
            start if start and is_whole(start) else f"{start or ''}{text}".strip()
            for start, text in zip(starts, answers, strict=True)
        ]

    def _starts(self, visual: Any, pairs: Sequence[tuple[int, EvalQuestion]]) -> list[str | None]:
        """Forced starts of answers, see :func:`favchat.model.generation.answer_starts`."""
        head = self.model.model.adapter.attribute_head
        if head is None:
            return [None] * len(pairs)
        values = head.scores_and_likely(visual.attribute_logits[[video for video, _ in pairs]]).tolist()
        questions = [item.question for _, item in pairs]
        return starts_of(values, [True] * len(pairs), self.processor.attributes, questions)

    def _scored(
        self, visual: Any, items: Sequence[Sequence[EvalQuestion]]
    ) -> list[list[tuple[list[float], list[int]]]]:
        """For each clip and question: the options' summed log-likelihoods, and their numbers of tokens."""
        packed = [(video, pack) for video, some in enumerate(items) if some for pack in self._packs(some)]
        found: list[list[tuple[list[float], list[int]]]] = [[] for _ in items]
        for video, pack in packed:
            hidden = self._hidden(visual, video, pack)
            places = [place for options in pack.targets for steps in options for place, _ in steps]
            rows, row_of = torch.tensor(sorted(set(places))), {p: r for r, p in enumerate(sorted(set(places)))}
            logits = self.model.get_output_embeddings()(hidden[rows.to(hidden.device)])  # (places, vocabulary)
            logs = logits.float().log_softmax(dim=-1)
            for options in pack.targets:
                steps = [(row_of[place], token) for some in options for place, token in some]
                at, tokens = (torch.tensor(part, device=logs.device) for part in zip(*steps, strict=True))
                values = logs[at, tokens].double().cpu().split([len(some) for some in options])
                found[video].append(([float(value.sum()) for value in values], [len(some) for some in options]))
        return found

    def _hidden(self, visual: Any, video: int, pack: _Packed) -> Tensor:
        """The decoder's last hidden states over a packed sequence, `(L, H)`."""
        ids = torch.tensor([pack.ids], device=self.model.device)
        positions = torch.tensor([pack.positions], device=self.model.device)
        dtype = self.model.model.language_model.dtype
        hidden = torch.zeros(1, 1, ids.shape[1], ids.shape[1], dtype=dtype)
        hidden.masked_fill_(~_visible(pack), torch.finfo(dtype).min)
        output = self._decode(visual, [video], ids, positions, attention_mask=hidden.to(self.model.device))
        return output.last_hidden_state[0]

    def _decode(self, visual: Any, videos: list[int], ids: Tensor, positions: Tensor, **settings: Any) -> Any:
        """Run the language model on ids `(B, L)`, whose placeholders are replaced by one encoded video per row."""
        network, config = self.model.model, self.model.config
        chosen = torch.tensor(videos, device=ids.device)
        face_mask, visual_mask = ids == config.face_token_id, network.is_visual(ids)
        embeds = network.embed_text(ids)
        embeds = embeds.masked_scatter(visual_mask.unsqueeze(-1), visual.sequence()[chosen].to(embeds.dtype))
        if visual.levels:
            settings |= {"face_mask": face_mask, "face_level_embeds": [level[chosen] for level in visual.levels]}
        return network.language_model(inputs_embeds=embeds, position_ids=positions, **settings)

    def _packs(self, items: Sequence[EvalQuestion]) -> list[_Packed]:
        prompts = [self.processor.prompt(item.question) + item.answer_prefix for item in items]
        asked_ids = [self._ids(prompt) for prompt in prompts]
        options = [
            [self._ids(f"{prompt}{' ' if item.answer_prefix else ''}{option}")[len(ids) :] for option in item.options]
            for prompt, ids, item in zip(prompts, asked_ids, items, strict=True)
        ]
        common = _common_prefix(asked_ids)
        packs: list[_Packed] = []
        for ids, ends in zip(asked_ids, options, strict=True):
            needed = len(ids) - common + sum(len(end) - 1 for end in ends)
            if not packs or len(packs[-1].ids) + needed > MAX_TOKENS:
                packs.append(_Packed(ids[:common], list(range(common)), [0] * common, [_NOBODY]))
            _add(packs[-1], ids[common:], ends, common)
        return packs

    def _ids(self, text: str) -> list[int]:
        return self.processor.prompt_ids(text)


def _words(item: EvalQuestion) -> tuple[str, str, tuple[str, ...]]:
    return item.question, item.answer_prefix, item.options


def _no_content(frames: int) -> StoredClip:
    return StoredClip(
        frames=np.full((frames, 64, 64, 3), 127, np.uint8),
        faces=np.zeros((frames, 64, 64, 3), np.uint8),
        timestamps=np.arange(frames) / 4,
        landmarks=np.zeros((frames, 5, 2), np.float32),
        visible=np.zeros(frames, bool),
        mouth_motion=np.zeros(MOUTH_FEATURES, np.float32),
    )


def _common_prefix(rows: list[list[int]]) -> int:
    """Length of the common prefix of all rows, shorter than any row, so that each keeps a token to predict from."""
    shortest = min(map(len, rows))
    same = next((place for place in range(shortest) if len({row[place] for row in rows}) > 1), shortest)
    return min(same, shortest - 1)


def _add(pack: _Packed, question: list[int], options: list[list[int]], begin: int) -> None:
    """Add a question's ids from position `begin` on, and all but the last id of each option."""
    node = _node(pack, question, begin, parent=0)
    last, after = len(pack.ids) - 1, begin + len(question)
    targets = []
    for option in options:
        first = len(pack.ids)
        _node(pack, option[:-1], after, parent=node)
        before = [last, *range(first, first + len(option) - 1)]
        targets.append(list(zip(before, option, strict=True)))
    pack.targets.append(targets)


def _node(pack: _Packed, ids: list[int], begin: int, parent: int) -> int:
    number = len(pack.parents)
    pack.parents.append(parent)
    pack.ids += ids
    pack.positions += range(begin, begin + len(ids))
    pack.nodes += [number] * len(ids)
    return number


def _visible(pack: _Packed) -> Tensor:
    """`(L, L)` bool tree mask: a token attends to earlier tokens of its own node and to all of its ancestor nodes."""
    count = len(pack.parents)
    before = np.eye(count, dtype=bool)
    for node in range(1, count):  # a parent is added before its children
        before[node] |= before[pack.parents[node]]
    nodes, positions = np.asarray(pack.nodes), np.asarray(pack.positions)
    return torch.from_numpy(before[nodes][:, nodes] & (positions[:, None] >= positions[None, :]))
