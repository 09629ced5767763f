"""The model that is built: its backbones, the adapter, low-rank updates."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from favchat.config.section import Place, Section
from favchat.labels.attributes import attribute


class BackboneConfig(Section):
    """A transformers model: its weights, its architecture, or both; docs/presets.md shows how to bring one's own."""

    pretrained: Place | None = None
    """The weights: ``asset:NAME`` (of a package registry, see ``favchat assets``), a local directory or a hub name."""
    config: dict[str, Any] | None = None
    """The architecture, a transformers configuration with its ``model_type``. Alone it gets random weights. Beside
    ``pretrained`` it says what the weights are, so that sizes are known without them; other weights are refused."""
    image_mean: list[float] | None = Field(default=None, min_length=3, max_length=3)
    """Of an encoder: what is subtracted from red, green and blue in 0..1; null: what its ``preprocessor_config.json``
    says, 0.5 with random weights."""
    image_std: list[float] | None = Field(default=None, min_length=3, max_length=3)
    """Of an encoder: what red, green and blue are divided by then; goes with ``image_mean``."""

    @model_validator(mode="after")
    def _something_is_given(self) -> BackboneConfig:
        if self.pretrained is None and self.config is None:
            raise ValueError("give 'pretrained' (asset:NAME, a directory or a hub name), 'config', or both")
        if self.config is not None and "model_type" not in self.config:
            raise ValueError("'config' needs a model_type, such as llama or siglip_vision_model")
        if (self.image_mean is None) != (self.image_std is None):
            raise ValueError("image_mean and image_std go together: give both or neither")
        return self


class AdapterConfig(Section):
    """The mixture-of-experts adapter that fuses the general and the face stream."""

    hidden_size: int = Field(default=384, ge=8, multiple_of=8)
    """Width of the tokens inside the adapter; a multiple of 8, as grouped matrix products need it."""
    num_experts: int = Field(default=4, ge=1)
    """Experts a layer; 1 is the dense baseline."""
    top_k: int = Field(default=2, ge=1)
    """Experts each visual token is sent to."""
    expert_size: int = Field(default=512, ge=8, multiple_of=8)
    """Width of the hidden layer of one SwiGLU expert; a multiple of 8."""
    shared_expert_size: int = Field(default=0, ge=0)
    """Width of the hidden layer of an expert that sees every token beside its top-k; 0: none."""
    route_by_question: bool = False
    """Whether the router also sees the question. The visual tokens then depend on it, so that ``favchat serve``, which
    keeps a video's tokens for all questions, refuses the model."""
    num_layers: int = Field(default=1, ge=1)
    """Expert layers, one after the other."""
    vision_grid: int = Field(default=2, ge=0)
    """The general stream gives ``vision_grid`` x ``vision_grid`` tokens a frame; 0: the model has no general
    encoder."""
    face_grid: int = Field(default=2, ge=0)
    """The face stream gives ``face_grid`` x ``face_grid`` tokens a frame; 0: the model has no face encoder, and the
    general tokens carry where the face is and how it moves."""
    pool_window: int = Field(default=2, ge=1)
    """Each token is a learned mean over ``pool_window`` x ``pool_window`` cells of the encoder's features; 1: the
    encoder's features are averaged to the tokens themselves."""
    face_levels: list[int] | None = None
    """Which hidden states of the face encoder are used, shallow to deep, by index (negative from the end); null: all
    that it has."""
    mirror_faces: bool = False
    """Whether the face encoder sees every face a second time, mirrored, and gives the mean of both: its
    work doubles."""
    inject_levels: bool = True
    """Whether the shallower face levels are added to the first decoder layers' hidden states; if not, they are added to
    the face tokens before the experts, each through a projection of its own."""
    feature_noise: float = Field(default=0.0, ge=0)
    """Standard deviation of the Gaussian noise that training adds to the encoders' features, where these have one of 1:
    against learning few clips by heart."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the visual tokens."""
    attributes: list[str] = []
    """Attributes that the model is taught by name (``favchat.labels.attributes``): the adapter gives a probability and
    a token for each, which the language model reads. Empty: it has to find them in the visual tokens by itself."""
    attribute_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on what the attributes are read from."""
    motion_size: int = Field(default=64, ge=8)
    """Width of the hidden layer that reads the attributes off the track's movement."""
    mouth_motion: bool = True
    """Whether attributes also read how the mouth changes in the aligned crops, which tells talking."""
    face_mesh: bool = True
    """Whether attributes also read the points of the face's mesh, which tell smiles, closed eyes and blinks."""
    attribute_weight: float = Field(default=1.0, ge=0)
    """Weight of the attributes' loss."""
    experts_implementation: Literal["grouped_mm", "batched_mm", "eager"] = "grouped_mm"
    """How experts are computed: ``grouped_mm``, all in one grouped matrix product; ``batched_mm``, with a copy of the
    weights for each token, for a handful of tokens; ``eager``, a loop over experts."""
    balance_weight: float = Field(default=0.01, ge=0)
    """Weight of the load-balancing loss."""
    z_weight: float = Field(default=0.001, ge=0)
    """Weight of the router z-loss."""

    @model_validator(mode="after")
    def _top_k_fits(self) -> AdapterConfig:
        if self.top_k > self.num_experts:
            raise ValueError(f"top_k = {self.top_k} is more than num_experts = {self.num_experts}")
        return self

    @model_validator(mode="after")
    def _something_is_seen(self) -> AdapterConfig:
        if not self.vision_grid and not self.face_grid:
            raise ValueError("vision_grid and face_grid are both 0: the model would see nothing")
        return self

    @field_validator("attributes")
    @classmethod
    def _attributes_exist(cls, names: list[str]) -> list[str]:
        for name in names:
            try:
                attribute(name)
            except KeyError as error:
                raise ValueError(str(error.args[0])) from None
        if len(set(names)) < len(names):
            raise ValueError("an attribute is named twice")
        return names


class LoraConfig(Section):
    """Low-rank updates of the language model (LoRA, arXiv 2106.09685), learnt by stages that name ``lora``."""

    targets: list[str] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], min_length=1
    )
    """Names of the language model's linear layers that get one."""
    rank: int = Field(default=16, ge=1)
    """Rank of the updates."""
    alpha: float = Field(default=32.0, gt=0)
    """The updates are scaled by ``alpha / rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on what goes into them."""


class ModelConfig(Section):
    """The model: two encoders, the adapter, the language model."""

    text: BackboneConfig = BackboneConfig(pretrained="asset:smollm2-135m-instruct")
    """The causal language model."""
    vision: BackboneConfig = BackboneConfig(pretrained="asset:mobilenet-v2")
    """The general visual encoder, which sees the frames."""
    face: BackboneConfig = BackboneConfig(pretrained="asset:face-trunks")
    """The face encoder, which sees the aligned faces."""
    adapter: AdapterConfig = AdapterConfig()
    lora: LoraConfig = LoraConfig()
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision in which the model is put together; bfloat16 for GPUs."""
    image_size: int = Field(default=224, ge=32)
    """Side in pixels to which frames are padded and scaled for the general encoder."""
    num_frames: int = Field(default=8, ge=1)
    """Frames of a clip that the model sees, picked uniformly."""
