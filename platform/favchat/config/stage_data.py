"""The training data of a stage of the curriculum."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from favchat.config.section import Section


class SamplesConfig(Section):
    """Some of the corpus's annotations, each a sample: a clip, a question and its answer."""

    task: Literal["summary", "qa", "attributes"]
    """Which annotations it trains on. ``attributes``: none; it learns the labels of ``model.adapter.attributes`` from
    the clips themselves, while the language model rests."""
    split: str | None = None
    """Of which split; null: ``training.split``."""
    selected: bool | None = True
    """``true``: those that ``favchat annotate`` has selected; ``false``: the others; null: all."""
    families: list[str] | None = Field(default=None, min_length=1)
    """Only those of these families (the annotations' column ``family``), such as ``emotion``; null: all."""


class MixedSamplesConfig(SamplesConfig):
    """Samples that a stage trains on beside its own."""

    share: float = Field(gt=0, lt=1)
    """Their share of an epoch's samples. If they are fewer, they come several times; if more, every epoch takes
    others."""


class StageDataConfig(SamplesConfig):
    """The samples of a stage and how they become batches."""

    mix: list[MixedSamplesConfig] = []
    """Further samples. An epoch has each of the stage's own samples once, and of these as many as their shares say."""
    batch_size: int = Field(default=8, ge=1)
    """Samples a step, over all workers. An epoch is cut into steps of this size; what would be left over is spread over
    them."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens a step, over all workers, in place of ``batch_size``: an epoch is cut into steps of nearly equal size that
    hold this many at most, but for the last clip."""
    frames: int | None = Field(default=None, ge=1)
    """Frames of a clip that the model sees from this stage on; null: as many as before."""
    first_token_weight: float = Field(default=1.0, gt=0)
    """What the first token of an answer counts for in the loss, where the others count 1: in "Yes, he is smiling." it
    alone decides. Of packed batches."""
    packed: bool = True
    """Whether a clip's questions come together and share its visual tokens in one sequence, in which no question sees
    another. False: every question has a sequence of its own, padded to the longest, and questions are shuffled one by
    one; FlashAttention needs that."""
    cache_features: bool = True
    """Whether what frozen encoders make of the clips is computed once, before the stage, and kept beside the shards.
    False: they run in every step, which is quicker for a few steps over a large corpus."""

    @model_validator(mode="after")
    def _shares_leave_something(self) -> StageDataConfig:
        total = sum(part.share for part in self.mix)
        if total >= 1:
            raise ValueError(f"the shares in mix sum up to {total:g}: nothing is left for the stage's own samples")
        if any((part.task == "attributes") != (self.task == "attributes") for part in self.mix):
            raise ValueError("attributes cannot be mixed with other tasks: they have no texts")
        return self
