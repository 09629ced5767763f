"""Sequence packing: questions about one clip share its visual tokens.

A sequence is a clip's prefix (system prompt and video) followed by its questions with their answers. A token attends to
the prefix and to the earlier tokens of its own question, but to no other question, and position ids restart after the
prefix in each question. Each question is thus computed as if it were alone, while the prefix is computed once. A row of
the batch may hold several such sequences.

Shapes: B rows, L tokens of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from favchat.model import FaVChatProcessor
from favchat.model.processing_favchat import IGNORED
from favchat.training.batches.batch import Sample

ROW = 512
"""Tokens from which on a longer row costs more than it saves: attention grows with the square of a row."""


@dataclass(frozen=True)
class PackedSequence:
    """A clip's prefix and its questions, as token ids."""

    prefix: list[int]
    blocks: list[tuple[list[int], list[int]]]
    """Of each question what follows the prefix, and its answer."""

    def __len__(self) -> int:
        return len(self.prefix) + sum(len(prompt) + len(answer) for prompt, answer in self.blocks)


def pack(
    processor: FaVChatProcessor,
    samples: Sequence[Sample],
    clips: Mapping[str, Any],
    labels: Mapping[str, Tensor] | None = None,
    *,
    first_token_weight: float = 1.0,
) -> tuple[dict[str, Tensor], int]:
    """Build the tensors of a packed batch.

    Args:
        processor: Of the model. One whose router reads the question gets a prefix for each question, since the visual
            tokens then differ.
        samples: The samples; adjacent ones about one clip share a sequence.
        clips: Input of :meth:`FaVChatProcessor.video_inputs` by clip id.
        labels: Attribute labels `(A,)` by clip id.
        first_token_weight: Loss weight of the first token of each answer; the others have weight 1.

    Returns:
        The batch without its mask, which `with_mask` makes: `input_ids`, `labels` (on the answers only),
        `position_ids`, `places` `(V,)`, which of the sequences of `samples` each video begins, `sequences` and `blocks`
        `(B, L)`, the numbers of each token's sequence in its row, from 1, 0 on
        padding, and of its question, from 1, 0 in the prefix; and the tensors of the videos. Second: its tokens without
        padding.
    """
    grouped: list[list[Sample]] = []
    for sample in samples:
        if grouped and not processor.route_by_question and grouped[-1][0].clip_id == sample.clip_id:
            grouped[-1].append(sample)
        else:
            grouped.append([sample])
    sequences = [_sequence(processor, group) for group in grouped]
    rows = rows_of([len(sequence) for sequence in sequences])
    places = [place for row in rows for place in row]  # videos are numbered in reading order
    batch = _tensors([[sequences[place] for place in row] for row in rows], processor.tokenizer.pad_token_id)
    if first_token_weight != 1:
        begins = torch.nn.functional.pad(batch["labels"][:, :-1] == IGNORED, (1, 0), value=True)
        weights = torch.where(begins, first_token_weight, 1.0)
        batch["label_weights"] = weights.masked_fill(batch["labels"] == IGNORED, 0.0)
    names = [grouped[place][0].clip_id for place in places]
    batch["places"] = torch.tensor(places)
    batch.update(processor.video_inputs([clips[name] for name in names]))
    if labels is not None and processor.attributes:
        batch["attribute_labels"] = torch.stack([labels[name] for name in names])
    if processor.route_by_question:
        asked = processor.question_inputs([grouped[place][0].question for place in places], len(places))
        batch.update(asked)
    return batch, sum(len(sequence) for sequence in sequences)


def with_mask(batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """Replace `sequences` and `blocks` by an attention mask and the positions whose logits the loss needs.

    Returns:
        The batch with `attention_mask` `(B, 1, L, L)` float32, what is added to the scores (a mask of truth values
        would be added too where attention is computed eagerly), the same by lengths, see
        :func:`packed_lengths`, and `logits_to_keep` `(B, L)` bool.
    """
    inputs = dict(batch)
    inputs.pop("places", None)
    sequences, blocks, labels = inputs.pop("sequences"), inputs.pop("blocks"), inputs["labels"]
    length = sequences.shape[1]
    seen = blocks.unsqueeze(1)  # (B, 1, L): block of the key token
    mask = (sequences.unsqueeze(2) == sequences.unsqueeze(1)) & ((seen == 0) | (seen == blocks.unsqueeze(2)))
    # Padding forms a sequence of its own: a row of the mask without any key would make the softmax NaN.
    mask &= torch.ones(length, length, dtype=torch.bool).tril()
    hidden = torch.full(mask.shape, torch.finfo(torch.float32).min)
    inputs["attention_mask"] = hidden.masked_fill(mask, 0.0).unsqueeze(1)
    inputs["packed_lengths"] = packed_lengths(sequences, blocks)
    inputs["logits_to_keep"] = torch.nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1))
    return inputs


def packed_lengths(sequences: Tensor, blocks: Tensor) -> Tensor:
    """Where each sequence lies, from the numbers `(B, L)` that `pack` gives.

    Returns:
        `(S, 2 + N)`: of each of S sequences its first place among the `B * L` tokens, the tokens of its prefix, and
        those of its questions, which follow each other; 0 where it has fewer than N.
    """
    found = []
    for row, (numbers, own) in enumerate(zip(sequences, blocks, strict=True)):
        for number in range(1, int(numbers.max()) + 1):
            places = (numbers == number).nonzero().flatten()
            start = torch.tensor([row * len(numbers) + int(places[0])])
            found.append(torch.cat([start, own[places].bincount()]))
    return torch.nn.utils.rnn.pad_sequence(found, batch_first=True)


def rows_of(lengths: Sequence[int]) -> list[list[int]]:
    """Pack sequences into rows with little padding (first-fit decreasing).

    Returns:
        The indices of each row's sequences.
    """
    longest_first = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    # Candidate row lengths: the total divided by each number of rows, up to twice the longest sequence, plus slack.
    longest, total = max(lengths), sum(lengths)
    counts = np.linspace(max(1, total // max(2 * longest, ROW)), max(1, -(-total // longest)), 8).astype(int)
    capacities = {max(longest, int(room * total / count)) for count in counts for room in (1.0, 1.05, 1.1, 1.2)}
    best: list[list[int]] = []
    least = float("inf")
    for capacity in sorted(capacities):
        rows: list[list[int]] = []
        free: list[int] = []
        for index in longest_first:
            fits = next((row for row, room in enumerate(free) if room >= lengths[index]), None)
            if fits is None:
                rows.append([])
                free.append(capacity)
                fits = len(rows) - 1
            rows[fits].append(index)
            free[fits] -= lengths[index]
        length = capacity - min(free)
        cost = len(rows) * length * (1 + length / (2 * ROW))
        if cost < least:
            best, least = rows, cost
    return best


def prefix_length(processor: FaVChatProcessor) -> int:
    """Number of prefix tokens, which all questions about a clip share."""
    return len(_split(processor, "")[0])


def block_lengths(processor: FaVChatProcessor, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """Number of tokens `(n,)` of each question and answer, with their chat template tokens but without the prefix."""
    template_tokens = len(_split(processor, "")[1]) + 1  # and the end-of-answer token
    lengths = np.full(len(questions), template_tokens, dtype=np.int64)
    for texts in (questions, answers):
        for begin in range(0, len(texts), 4096):
            ids = processor.tokenizer(list(texts[begin : begin + 4096]), add_special_tokens=False)["input_ids"]
            lengths[begin : begin + 4096] += [len(row) for row in ids]
    return lengths


def _split(processor: FaVChatProcessor, question: str) -> tuple[list[int], list[int]]:
    """Token ids of a question's prompt: up to the end of the video, and after it."""
    ids = processor.prompt_ids(processor.prompt(question))
    visual = processor.placeholder_ids
    end = max(index for index, token in enumerate(ids) if token in visual) + 1
    return ids[:end], ids[end:]


def _sequence(processor: FaVChatProcessor, group: Sequence[Sample]) -> PackedSequence:
    split = [_split(processor, sample.question) for sample in group]
    answers = [processor.answer_ids(sample.answer) for sample in group]
    return PackedSequence(split[0][0], [(prompt, answer) for (_, prompt), answer in zip(split, answers, strict=True)])


def _tensors(rows: Sequence[Sequence[PackedSequence]], padding: int) -> dict[str, Tensor]:
    length = max(sum(map(len, row)) for row in rows)
    shape = (len(rows), length)
    ids, labels = np.full(shape, padding), np.full(shape, IGNORED)
    positions, sequences, blocks = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    for row, parts in enumerate(rows):
        at = 0
        for number, sequence in enumerate(parts, 1):
            prefix = len(sequence.prefix)
            ids[row, at : at + prefix] = sequence.prefix
            positions[row, at : at + prefix] = np.arange(prefix)
            sequences[row, at : at + len(sequence)] = number
            at += prefix
            for block, (prompt, answer) in enumerate(sequence.blocks, 1):
                end = at + len(prompt) + len(answer)
                ids[row, at:end] = prompt + answer
                labels[row, at + len(prompt) : end] = answer
                positions[row, at:end] = prefix + np.arange(end - at)
                blocks[row, at:end] = block
                at = end
    arrays = {
        "input_ids": ids,
        "labels": labels,
        "position_ids": positions,
        "sequences": sequences,
        "blocks": blocks,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
