"""Evaluation of a local checkpoint: likelihoods of options, free answers, and visual tokens.

The only file of the evaluation that depends on the model. A clip is encoded once. What all prompts begin with (system
prompt, visual tokens) passes through the language model once a clip, for all clips of a batch together; its keys and
values are kept. All of a clip's questions then form one sequence that goes on from there, a tree of questions and their
options, see :mod:`favchat.evaluation.asking.question_tree`. This is exact, and needs no padding. Free answers are
written on from the keys and values of their question.

Shapes: B sequences, L tokens of a sequence, V videos, K options, P tokens that all prompts begin with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

from favchat.evaluation.asking.eval_question import EvalQuestion
from favchat.evaluation.asking.question_text import asked
from favchat.evaluation.asking.question_tree import QuestionTree, common_prefix
from favchat.evaluation.asking.score_answers import option_probabilities
from favchat.model.answers_by_score import is_whole
from favchat.model.generation import starts_of
from favchat.training.batches.samples import StoredClip
from favchat.training.stage.precision import cast_frozen
from favchat.video.face_measures import FACE_MEASURES

MAX_TOKENS = 768
"""Longest sequence of questions about one clip; more questions make another one."""
MAX_ANSWERS = 32
"""Free answers that are written at once."""


@dataclass(frozen=True)
class Likelihoods:
    """Log-likelihoods of the K options of one question."""

    log_likelihoods: list[float]
    """log p(option | clip, question), nats, summed over the option's tokens."""
    prior: list[float]
    """The same of a clip without content: grey frames, no face."""
    tokens: list[int]
    """Tokens of each option."""


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
        self._begun: tuple[Any, DynamicCache] | None = None
        prompt = self._ids(self.processor.prompt("?"))
        is_visual = self.model.model.is_visual(torch.tensor(prompt)).tolist()
        # Up to the last placeholder: what follows may be tokenised together with the question.
        self._beginning = prompt[: len(prompt) - is_visual[::-1].index(True)]

    @torch.inference_mode()
    def visual(self, clips: Sequence[StoredClip] | Sequence[Mapping[str, Tensor]]) -> Any:
        """Encode V clips, or their encoder features: the adapter's output, see ``AdapterOutput``."""
        # A model that is being trained may be asked under autocast, which is for the model alone.
        with torch.autocast(self.model.device.type, enabled=False):
            inputs = {name: tensor.to(self.model.device) for name, tensor in self.processor.video_inputs(clips).items()}
        return self.model.model.get_video_features(**inputs)

    def features(self, visual: Any) -> list[list[float]]:
        """Pool the visual tokens of each clip: mean general token and mean face token, concatenated, `(2 H,)`.

        Without one of the encoders only the other's, `(H,)`.
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
        places = [(video, number) for video, some in enumerate(items) for number in range(len(some))]
        # A batch takes as long as its longest answer, and those to closed questions are short.
        places.sort(key=lambda place: not items[place[0]][place[1]].options)
        answers = [[""] * len(some) for some in items]
        for begin in range(0, len(places), MAX_ANSWERS):
            part = places[begin : begin + MAX_ANSWERS]
            texts = self._written(visual, [(video, items[video][number]) for video, number in part], hints)
            for (video, number), text in zip(part, texts, strict=True):
                answers[video][number] = text
        return answers

    def _written(self, visual: Any, pairs: Sequence[tuple[int, EvalQuestion]], hints: bool) -> list[str]:
        """Answers to pairs of clip index and question."""
        starts = self._starts(visual, pairs)
        answers = [start or "" for start in starts]
        # A start that is the whole answer leaves nothing to write.
        rows = [row for row, start in enumerate(starts) if not is_whole(start)]
        if not rows:
            return answers
        prompts = [self._ids(self.processor.prompt(asked(pairs[row][1], hints)) + answers[row]) for row in rows]
        cache = self._prefilled(visual, [pairs[row][0] for row in rows], prompts)
        length = max(map(len, prompts))
        ids = torch.full((len(prompts), length), self.processor.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, length - len(prompt) :] = torch.tensor(prompt)
            mask[row, length - len(prompt) :] = 1
        # `generate` continues after the last token but one, and never sees a video placeholder.
        written = self.model.generate(
            input_ids=ids.to(self.model.device),
            attention_mask=mask.to(self.model.device),
            past_key_values=cache,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
        )
        texts = self.processor.tokenizer.batch_decode(written[:, length:], skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            answers[row] = f"{answers[row]}{text}".strip()
        return answers

    def _prefilled(self, visual: Any, videos: Sequence[int], prompts: Sequence[list[int]]) -> DynamicCache:
        """Keys and values of prompts about clips without their last tokens, padded on the left to one length."""
        found: dict[int, tuple[DynamicCache, Tensor]] = {}
        for video in sorted(set(videos)):
            rows = [row for row, other in enumerate(videos) if other == video]
            for some in self._portions([prompts[row] for row in rows], [len(prompts[row]) for row in rows]):
                own = [rows[place] for place in some]
                common = common_prefix([prompts[row] for row in own])
                tree = self._tree(prompts[own[0]][:common])
                parts = [tree.part(prompts[row][common:-1], common, parent=0) for row in own]
                cache = self._follow(visual, video, tree).past_key_values
                for row, part in zip(own, parts, strict=True):
                    found[row] = cache, torch.tensor(tree.seen_by(part), device=self.model.device)
        length = max(map(len, prompts)) - 1
        joined = DynamicCache()
        for number in range(len(found[0][0].layers)):
            padded = [
                [
                    pad(states[0].index_select(1, places), (0, 0, length - len(places), 0))
                    for states in (cache.layers[number].keys, cache.layers[number].values)
                ]
                for cache, places in (found[row] for row in range(len(prompts)))
            ]
            joined.update(*(torch.stack(states) for states in zip(*padded, strict=True)), number)
        return joined

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

    def _hidden(self, visual: Any, video: int, tree: QuestionTree) -> Tensor:
        """The decoder's last hidden states over a tree, `(L, H)`."""
        return self._follow(visual, video, tree).last_hidden_state[0]

    def _follow(self, visual: Any, video: int, tree: QuestionTree) -> Any:
        """Run the language model on a tree, from where the prompts about a clip begin."""
        network = self.model.model
        ids = torch.tensor([tree.ids], device=self.model.device)
        dtype = network.language_model.dtype
        hidden = torch.zeros(1, 1, len(tree.ids), tree.begin + len(tree.ids), dtype=dtype)
        hidden.masked_fill_(~tree.visible(), torch.finfo(dtype).min)
        cache = DynamicCache()
        for number, layer in enumerate(self._beginnings(visual).layers):
            cache.update(layer.keys[video : video + 1], layer.values[video : video + 1], number)
        return network.language_model(
            inputs_embeds=network.embed_text(ids),
            position_ids=torch.tensor([tree.positions], device=self.model.device),
            attention_mask=hidden.to(self.model.device),
            past_key_values=cache,
            use_cache=True,
        )

    def _beginnings(self, visual: Any) -> DynamicCache:
        """Keys and values of what all prompts about V encoded clips begin with; those of the last clips are kept."""
        if self._begun is None or self._begun[0] is not visual:
            network, config = self.model.model, self.model.config
            tokens = visual.sequence()
            ids = torch.tensor([self._beginning], device=self.model.device).expand(len(tokens), -1)
            face_mask, visual_mask = ids == config.face_token_id, network.is_visual(ids)
            embeds = network.embed_text(ids)
            embeds = embeds.masked_scatter(visual_mask.unsqueeze(-1), tokens.to(embeds.dtype))
            levels = {"face_mask": face_mask, "face_level_embeds": list(visual.levels)} if visual.levels else {}
            positions = torch.arange(ids.shape[1], device=ids.device).expand(len(tokens), -1)
            cache = DynamicCache()
            network.language_model(
                inputs_embeds=embeds, position_ids=positions, past_key_values=cache, use_cache=True, **levels
            )
            self._begun = visual, cache
        return self._begun[1]

    def _packs(self, items: Sequence[EvalQuestion]) -> list[QuestionTree]:
        prompts = [self.processor.prompt(item.question) + item.answer_prefix for item in items]
        asked_ids = [self._ids(prompt) for prompt in prompts]
        options = [
            [self._ids(f"{prompt}{' ' if item.answer_prefix else ''}{option}")[len(ids) :] for option in item.options]
            for prompt, ids, item in zip(prompts, asked_ids, items, strict=True)
        ]
        common = common_prefix(asked_ids)
        needed = [
            len(ids) - common + sum(len(end) - 1 for end in ends) for ids, ends in zip(asked_ids, options, strict=True)
        ]
        trees = []
        for some in self._portions(asked_ids, needed):
            tree = self._tree(asked_ids[0][:common])
            for number in some:
                tree.add(asked_ids[number][common:], options[number], common)
            trees.append(tree)
        return trees

    def _tree(self, common: Sequence[int]) -> QuestionTree:
        """A tree of prompts' common ids, without those that all prompts begin with."""
        begin = len(self._beginning)
        if list(common[:begin]) != self._beginning:
            raise ValueError("the prompts do not begin as the processor's prompts do")
        return QuestionTree.of(common[begin:], begin)

    def _portions(self, rows: Sequence[Sequence[int]], needed: Sequence[int]) -> list[list[int]]:
        """Split rows, by their indices, so that what is added for each amounts to at most `MAX_TOKENS` or is one."""
        portions: list[list[int]] = []
        total = 0
        for number in range(len(rows)):
            if not portions or total + needed[number] > MAX_TOKENS:
                portions.append([])
                total = 0
            portions[-1].append(number)
            total += needed[number]
        return portions

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
        face_measures=np.zeros(FACE_MEASURES, np.float32),
    )
