"""Configuration of the model: two encoders, the adapter, the language model."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec


@strict
class FaVChatAdapterConfig(PreTrainedConfig):
    r"""Settings of the mixture-of-experts adapter.

    Args:
        vision_size (`int`): Channels of the general encoder's last hidden state.
        face_sizes (`list[int]`): Channels of each face level, shallow to deep.
        output_size (`int`): Width of the language model.
        hidden_size (`int`): Width of the tokens inside the adapter.
        intermediate_size (`int`): Width of an expert's hidden layer.
        num_hidden_layers (`int`): Expert layers.
        num_experts (`int`): Experts a layer; 1 is the dense baseline.
        num_experts_per_tok (`int`): Experts that each token is sent to.
        shared_expert_size (`int`): Width of the hidden layer of an expert that sees every token; 0 for none.
        route_by_question (`bool`): Whether the router also sees what is asked about the video.
        vision_grid (`int`): Tokens a frame of the general stream: `vision_grid` squared; 0: no general encoder.
        face_grid (`int`): Tokens a frame of the face stream: `face_grid` squared; 0: there is no face encoder.
        pool_window (`int`): Each token is a learned mean over `pool_window` squared cells of the encoder's features.
        inject_levels (`bool`): Whether shallower face levels are added in the first decoder layers; if not, they are
            added to the face tokens before the experts.
        feature_noise (`float`): Standard deviation of the noise on the normed features in training.
        dropout (`float`): Dropout on the projected tokens.
        attributes (`list[str]`): Names of the attributes that the model is taught, each with a logit and a token;
            none for a model without attribute tokens.
        attribute_dropout (`float`): Dropout on what their logits are read from.
        motion_size (`int`): Width of the hidden layer that reads the motion.
        mouth_motion (`bool`): Whether the logits also read how the mouth changes in the aligned crops.
        face_mesh (`bool`): Whether they also read the shape of the face's mesh.
        attribute_loss_coef (`float`): Weight of the attributes' loss.
        experts_implementation (`str`): How experts are computed: `grouped_mm`, `batched_mm` or `eager`, a loop.
        router_aux_loss_coef (`float`): Weight of the load-balancing loss.
        router_z_loss_coef (`float`): Weight of the router z-loss.
        output_scale (`float`): Root mean square that the visual tokens start with: the one of the language model's
            embeddings.
    """

    model_type = "favchat_adapter"
    base_config_key = "adapter_config"

    vision_size: int = 1280
    face_sizes: list[int] | tuple[int, ...] = (64, 128, 256, 512)
    output_size: int = 576
    hidden_size: int = 384
    intermediate_size: int = 512
    num_hidden_layers: int = 1
    num_experts: int = 4
    num_experts_per_tok: int = 2
    shared_expert_size: int = 0
    route_by_question: bool = False
    vision_grid: int = 2
    face_grid: int = 2
    pool_window: int = 2
    inject_levels: bool = True
    feature_noise: float = 0.0
    dropout: float = 0.0
    attributes: list[str] | tuple[str, ...] = ()
    attribute_dropout: float = 0.0
    motion_size: int = 64
    mouth_motion: bool = False
    face_mesh: bool = False
    attribute_loss_coef: float = 1.0
    experts_implementation: str = "grouped_mm"
    hidden_act: str = "silu"
    router_aux_loss_coef: float = 0.01
    router_z_loss_coef: float = 0.001
    initializer_range: float = 0.02
    output_scale: float = 1.0


@strict
class FaVChatConfig(PreTrainedConfig):
    r"""The whole model.

    Args:
        vision_config (`PreTrainedConfig`): The general encoder, any transformers vision model with a last hidden state.
        face_config (`PreTrainedConfig`): The face encoder, any transformers vision model with hidden states, or the
            face pyramid.
        text_config (`PreTrainedConfig`): The causal language model.
        adapter_config (`FaVChatAdapterConfig`): The adapter.
        face_levels (`list[int]`, *optional*): Levels of the face encoder that are used, shallow to deep; all if absent.
        mirror_faces (`bool`): Whether the face features are the mean of those of the face and of its mirror image.
        video_token_id (`int`): Stands where a token of the general stream goes.
        face_token_id (`int`): Stands where a token of the face stream goes.
        attribute_token_id (`int`): Stands where an attribute's token goes.
    """

    model_type = "favchat"
    # What an evaluation loop need not gather over processes.
    keys_to_ignore_at_inference = [
        "past_key_values",
        "language_loss",
        "attribute_loss",
        "balance_loss",
        "z_loss",
        "hidden_states",
        "attentions",
        "router_logits",
    ]
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="mobilenet_v2"),
        "face_config": SubConfigSpec(config_class=AutoConfig, model_type="favchat_face_pyramid"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
        "adapter_config": SubConfigSpec(config_class=FaVChatAdapterConfig),
    }

    vision_config: Any = None
    face_config: Any = None
    text_config: Any = None
    adapter_config: Any = None
    face_levels: list[int] | None = None
    mirror_faces: bool = False
    video_token_id: int = 49153
    face_token_id: int = 49154
    attribute_token_id: int = 49155
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        # The checkpoint's top level decides about tying, so the language model's own choice has to reach it.
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
